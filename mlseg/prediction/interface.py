"""A trained run in Python: `mlseg.load(folder).predict(image)`."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import jax
import numpy as np

from mlseg.data import multilabel
from mlseg.devices import compiler
from mlseg.errors import UserError, require, unknown
from mlseg.io.pictures import files as picture_files
from mlseg.io.pictures.picture import Picture, to_eight_bits
from mlseg.models.averaging import VIEWS
from mlseg.postprocessing.temperature import scaled
from mlseg.prediction import enlarge, inference, region_table, trained
from mlseg.prediction.trained import Trained

Image = np.ndarray | str | pathlib.Path


class ImagePrediction(NamedTuple):
  """What a run predicts of one image [H, W]; None for what its networks do not give.

  Attributes:
    mask: [H, W] uint8, the index of the class of each pixel, in `TrainedRun.class_names`.
    probabilities: [H, W, C] float32, of the classes of each pixel, averaged over the models of the
      run and over the views, at the temperature that was fitted on validation, if one was.
    entropy: [H, W] float32 in [0, 1], of these probabilities, divided by log C. 0: one class is
      certain; 1: all are equally probable.
    disagreement: [H, W] float32 in [0, 1], how far the models of the run, and its views, disagree:
      the entropy of their mean minus their mean entropy, before any temperature, divided by log C.
    regions: for each class but the background, what `predictions.csv` of `mlseg.predict` has:
      'class', 'area_pixels', 'area_fraction', 'area_mm2', 'components', 'mean_probability',
      'flip_spread' and 'seed_spread'. The last two are None where they were not computed.
    diagnosis: the most probable diagnosis; None where the run gives findings.
    diagnoses: the probability of each diagnosis, or of each finding.
    findings: the findings whose probability is above 0.5, of a run whose cases may have several.
  """

  mask: np.ndarray | None
  probabilities: np.ndarray | None
  entropy: np.ndarray | None
  disagreement: np.ndarray | None
  regions: list[dict[str, Any]]
  diagnosis: str | None
  diagnoses: dict[str, float] | None
  findings: tuple[str, ...] | None = None


class TrainedRun:
  """A trained run, ready to predict; from `load`.

  Attributes:
    class_names: of the masks, the background first.
    label_names: diagnoses, or findings; empty where the run gives none.
    has_findings: whether a case may have several of them, each with a probability of its own.
    seeds: of its models.
    input_size: side of the square that its networks see, in pixels. Images of any size are resized
      to it, or cut into tiles of this size where the run was trained on patches.
  """

  def __init__(self, run: Trained, device: jax.Device):
    if run.data.has_volumes:
      raise UserError(f"{run.name} was trained on volumes: python -m mlseg.predict predicts them")
    self.class_names, self.label_names = run.class_names, run.label_names
    self.has_findings = bool(run.label_names) and run.model.has_findings
    self.seeds, self.input_size = run.seeds, run.data.input_size
    self._run, self._device = run, device
    self._variables = jax.device_put(run.variables, device)

  @functools.cache  # noqa: B019  # a program for each choice, as long as the run is used
  def _network(self, flips: bool) -> Callable[[np.ndarray], inference.Prediction]:
    function = inference.make_predict(
      self._run.model, flips, views=self._run.views, disagreement=True
    )
    program = jax.jit(function, compiler_options=compiler.compiler_options())
    return lambda batch: program(self._variables, jax.device_put(batch, self._device))

  @overload
  def predict(
    self, images: Image, *, batch_size: int = ..., flips: bool = ...
  ) -> ImagePrediction: ...

  @overload
  def predict(
    self, images: list[Image] | tuple[Image, ...], *, batch_size: int = ..., flips: bool = ...
  ) -> list[ImagePrediction]: ...

  def predict(
    self,
    images: Image | list[Image] | tuple[Image, ...],
    *,
    batch_size: int = 16,
    flips: bool = False,
  ) -> ImagePrediction | list[ImagePrediction]:
    """Returns what the run predicts of one image, or of each image in a list or tuple.

    Images are prepared as in training, and the numbers are those of `python -m mlseg.predict`.

    Args:
      images: an array [H, W] (grey) or [H, W, 3] (RGB), or a file; or several of these. Arrays of
        another type than uint8 are scaled as files of more than 8 bits were in training.
      batch_size: number of images predicted at once.
      flips: whether `flip_spread` is computed, which takes four times as long.

    Raises:
      UserError: an array has another shape, or a file cannot be read.

    Example:
      >>> import mlseg
      >>> model = mlseg.load(workdir)  # the folder of a run
      >>> image = np.zeros((90, 120), np.uint8)
      >>> found = model.predict(image)
      >>> found.mask.shape, found.probabilities.shape, found.regions[0]["class"]
      ((90, 120), (90, 120, 2), 'lesion')
      >>> len(model.predict([image, image[:50]], batch_size=2))
      2
    """
    require(batch_size >= 1, "batch_size must be at least 1", batch_size)
    if not isinstance(images, list | tuple):
      return self._predict([self._picture(images)], flips, 1)[0]
    pictures = [self._picture(image) for image in images]
    # Images that are predicted in tiles keep their size; alone in a batch, no other pads them.
    together = 1 if self._run.data.patch_size else min(batch_size, len(pictures))
    parts = range(0, len(pictures), max(together, 1))
    return [
      found
      for start in parts
      for found in self._predict(pictures[start : start + together], flips, together)
    ]

  def _picture(self, image: Any) -> Picture:
    """Returns an image as it is shown, of 8 bits."""
    scaling = self._run.data.sixteen_bit
    if isinstance(image, str | pathlib.Path):
      return picture_files.read(pathlib.Path(image), scaling)
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
      raise UserError(f"an image must be an array of numbers or a file, not {type(image).__name__}")
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)) or not values.size:
      raise UserError(f"an image must be [H, W] or [H, W, 3], not of shape {values.shape}")
    return Picture(to_eight_bits(values, scaling))

  def _predict(
    self, pictures: Sequence[Picture], flips: bool, batch_size: int
  ) -> list[ImagePrediction]:
    """Returns what the run predicts of a batch of at most `batch_size` images."""
    data = self._run.data
    size = 0 if data.patch_size else data.image_size
    prepared = [
      inference.prepare(picture.pixels, size, self._run.channels, data.filtering)
      for picture in pictures
    ]
    batch = inference.stack(prepared, batch_size, inference.SIZE_STEP if data.patch_size else 1)
    found = inference.calibrated(
      jax.device_get(self._network(flips)(batch)),
      self._run.manner.temperatures,
      self._run.model.has_findings,
    )
    return [
      self._of_image(picture, jax.tree.map(lambda array, n=n: array[n], found))
      for n, picture in enumerate(pictures)
    ]

  def _of_image(self, picture: Picture, found: inference.Prediction) -> ImagePrediction:
    """Returns what was predicted of one image, at its size."""
    mask = probabilities = entropy = disagreement = diagnoses = None
    regions: list[dict[str, Any]] = []
    if found.probabilities is not None:
      height, width = picture.pixels.shape[:2]
      small, unsure = np.asarray(found.probabilities), np.asarray(found.disagreement)
      if self._run.data.patch_size:
        small, unsure = small[:height, :width], unsure[:height, :width]
      decision, (temperature, _) = self._run.manner
      mask, best = enlarge.restore(small, height, width, decision, temperature)
      probabilities = enlarge.resized(scaled(small, temperature), height, width)
      entropy = np.asarray(inference.entropy_of(probabilities))
      disagreement = enlarge.resized(unsure[..., None], height, width)[..., 0]
      spreads = {"flip_spread": found.flip_spread, "seed_spread": found.seed_spread}
      measured = region_table.measure(mask, best, self.class_names, picture.spacing)
      for label, row in enumerate(measured, start=1):
        own = {k: None if v is None else float(v[label]) for k, v in spreads.items()}
        regions.append(row | own)
    if found.diagnoses is not None:
      values = map(float, np.asarray(found.diagnoses))
      diagnoses = dict(zip(self.label_names, values, strict=True))
    diagnosis, findings = None, None
    if diagnoses and self.has_findings:
      findings = tuple(name for name, value in diagnoses.items() if value > multilabel.THRESHOLD)
    elif diagnoses:
      diagnosis = max(diagnoses, key=diagnoses.__getitem__)
    return ImagePrediction(
      mask, probabilities, entropy, disagreement, regions, diagnosis, diagnoses, findings
    )


def load(
  workdir: str | pathlib.Path,
  *,
  views: str | None = None,
  postprocess: bool = True,
  device: jax.Device | str | None = None,
) -> TrainedRun:
  """Returns a trained run, ready to predict.

  Args:
    workdir: the run's folder.
    views: whose probabilities are averaged: 'one', the image; 'horizontal', its left-right mirror
      image too; 'flips', all three mirror images too. None: as the run was tested.
    postprocess: whether masks are made with the threshold and the sizes that the run chose on its
      validation cases, if it did; False: each pixel has the most probable class.
    device: where it runs: a device of `jax.devices()`, or the name of a platform, such as 'cpu' or
      'gpu'; None: the first one that jax finds.

  Raises:
    UserError: the folder is not that of a trained run on images, or there is no such device.

  Example:
    >>> model = load(workdir, device="cpu")  # the folder of a run
    >>> model.class_names, model.input_size
    (('background', 'lesion'), 32)
  """
  if views is not None and views not in VIEWS:
    raise unknown("views", views, VIEWS)
  run = trained.load(pathlib.Path(workdir), views, postprocess)
  return TrainedRun(run, _device(device))


def _device(device: jax.Device | str | None) -> jax.Device:
  if device is None:
    return jax.devices()[0]
  if isinstance(device, jax.Device):
    return device
  try:
    return jax.devices(device)[0]
  except RuntimeError:
    there = sorted({one.platform for one in jax.devices()})
    raise UserError(f"device {device!r} is not here; jax finds {', '.join(there)}") from None
