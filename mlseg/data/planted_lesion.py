"""Lesions planted in a real CT, of which only the texture depends on the class.

The position, shape, size and mean of a lesion are drawn in the same way for all classes. Its
texture is a smooth random field, whose standard deviation in HU is log-normal around a median per
class. For two classes with medians m and m' and the same spread s, the standard deviation separates
the classes with an area under the ROC curve of at most Φ(|ln(m / m')| / (s √2)): 0.90 with the
numbers here.
"""

from typing import NamedTuple

import numpy as np

from mlseg.errors import UserError, require, unknown
from mlseg.io.volumes import Volume, crop_to
from mlseg.io.volumes.sampling import Box

MEDIANS = {"non_responder": 28.0, "responder": 12.0}  # of the standard deviation of texture, HU
SPREAD = 0.47  # standard deviation of the logarithm of that standard deviation
CORRELATION = 2.0  # mm at which the field's correlation has fallen to 1 / e
EXTENT = (120.0, 56.0, 56.0)  # largest extent of an image along slices, rows and columns, mm
LEAST_EXTENT = 40.0  # of a background along each axis, mm, so that any lesion fits
RADIUS, RADIUS_SPREAD, AXIS_SPREAD = 9.0, 0.3, 0.15  # mm; of the logarithms of size and radii
RADII = (5.0, 15.0)  # mm, to which they are clipped
BUMPS = 0.2  # largest distance of surface and ellipsoid, as a share of the radius
MEAN, MEAN_SPREAD = 45.0, 12.0  # HU, of soft tissue
BODY = (-950, 200)  # HU, between the air around a patient and bone
LEAST_VOXELS = 20  # of a lesion; fewer show no texture
TRIES = 200  # number of lesions and positions that are tried
_WAVES = 6  # number of waves that make up the bumps


class Background(NamedTuple):
  """A CT in which lesions are planted."""

  name: str
  volume: Volume  # Hounsfield units
  tumour: np.ndarray  # [Z, Y, X] bool, the true tumour; all False where it is not known


class Planted(NamedTuple):
  """An image with a planted lesion."""

  image: Volume  # int16, Hounsfield units
  mask: Volume  # uint8, 1 where a voxel is lesion only
  heterogeneity: float  # standard deviation of the texture within the mask, HU


class _Shape(NamedTuple):
  """An ellipsoid with bumps."""

  to_sphere: np.ndarray  # [3, 3], from offsets in mm to shares of the radii
  waves: np.ndarray  # [3, K], frequencies of the waves over unit directions
  phases: np.ndarray  # [K]
  reach: float  # largest distance of the surface from the centre, mm


def check(background: Background) -> None:
  """Raises a UserError where a background is too small for a lesion."""
  extents = (np.array(background.volume.values.shape) - 1) * _steps(background.volume)
  if min(extents) < LEAST_EXTENT:
    words = " × ".join(f"{extent:.3g}" for extent in extents)
    raise UserError(
      f"background {background.name}: must extend over {LEAST_EXTENT:g} mm along each axis,"
      f" not {words} mm"
    )


def make_patient(rng: np.random.Generator, backgrounds: list[Background], label: str) -> Planted:
  """Returns a random crop of a background with a planted lesion of a class.

  The same random numbers are drawn for every class. So with generators in the same state, two
  classes give images that differ only in the strength of the lesion's texture.

  Args:
    rng: generator of all random numbers.
    backgrounds: one is drawn; each passes `check`.
    label: class of the patient, one of `MEDIANS`.

  Raises:
    UserError: there is no background or no such class, or no position for the lesion is found.
  """
  if label not in MEDIANS:
    raise unknown("class", label, MEDIANS)
  require(len(backgrounds) > 0, "backgrounds must not be empty", backgrounds)
  background = backgrounds[rng.integers(len(backgrounds))]
  mean = rng.normal(MEAN, MEAN_SPREAD)
  heterogeneity = MEDIANS[label] * float(np.exp(SPREAD * rng.normal()))
  image, parts = _draw_lesion(rng, background)
  inside = parts == 1
  texture = random_field(rng, inside.shape, image.spacing, CORRELATION)
  # The mask leaves out the blended edge, which is rougher beside lung than any texture. The texture
  # is normalised within the mask, so that a small lesion is not less heterogeneous by chance, and
  # the mean of a heterogeneous lesion does not deviate more.
  texture = (texture - texture[inside].mean()) / texture[inside].std()
  values = (1 - parts) * image.values + parts * (mean + heterogeneity * texture)
  values = np.rint(values).clip(-1024, 3071).astype(np.int16)
  return Planted(
    image._replace(values=values), image._replace(values=inside.astype(np.uint8)), heterogeneity
  )


def random_field(
  rng: np.random.Generator,
  shape: tuple[int, ...],
  spacing: tuple[float, ...],
  correlation: float,
) -> np.ndarray:
  """Returns a Gaussian field of mean 0 and variance 1, correlated by exp(-(d / correlation)²).

  The spectrum of white noise is multiplied by the square root of the spectrum of the correlation.
  This is exact on any grid, while a sampled kernel is not where voxels are as large as the kernel.
  The field is periodic along each axis.

  Args:
    rng: generator of the noise.
    shape: of the grid.
    spacing: of its axes, mm.
    correlation: distance in mm at which the correlation is 1 / e, well below the size of the grid.

  Returns:
    float64 of that shape.

  Example:
    >>> field = random_field(np.random.default_rng(0), (200, 200), (0.5, 1.0), 2.0)
    >>> along_rows = (field * np.roll(field, 4, 0)).mean()  # 2 mm away
    >>> bool(abs(along_rows - np.exp(-1)) < 0.05)
    True
  """
  spectrum = np.fft.fftn(rng.standard_normal(shape))
  for axis, (size, step) in enumerate(zip(shape, spacing, strict=True)):
    away = np.minimum(np.arange(size), size - np.arange(size)) * step
    power = np.fft.fft(np.exp(-((away / correlation) ** 2))).real.clip(min=0)
    spectrum *= np.sqrt(
      np.expand_dims(power, [other for other in range(len(shape)) if other != axis])
    )
  return np.fft.ifftn(spectrum).real


def _draw_lesion(rng: np.random.Generator, background: Background) -> tuple[Volume, np.ndarray]:
  """Returns a crop of a background, and the share [Z, Y, X] of a lesion in each of its voxels."""
  for _ in range(TRIES):
    image, tumour = _draw_crop(rng, background)
    shape = _draw_shape(
      rng
    )  # drawn again each time, as a large one may fit nowhere beside a tumour
    reach = shape.reach / _steps(image)
    centre = rng.uniform(reach, np.array(image.values.shape) - 1 - reach)
    near = tuple(
      slice(max(int(low) - 1, 0), int(high) + 2)
      for low, high in zip(centre - reach, centre + reach, strict=True)
    )
    depths = np.full(image.values.shape, -np.inf)
    points = image.world(np.moveaxis(np.mgrid[near], 0, -1))
    depths[near] = _depths(shape, points - image.world(centre))
    # The edge is as wide as the smallest side of a voxel. If it were as wide as a slice is thick,
    # the first and the last slice of a lesion would be more background than texture.
    parts = np.clip(depths / min(image.spacing) + 0.5, 0, 1)
    # A lesion never overlaps a true tumour, which has another texture and is not in the mask.
    if (parts == 1).sum() < LEAST_VOXELS or tumour[parts > 0].any():
      continue
    if BODY[0] < np.median(image.values[parts > 0]) < BODY[1]:
      return image, parts
  raise UserError(
    f"background {background.name}: no position in lung or soft tissue, away from its tumour and"
    f" with {LEAST_VOXELS} voxels, was found for a lesion in {TRIES} tries"
  )


def _draw_crop(rng: np.random.Generator, background: Background) -> tuple[Volume, np.ndarray]:
  """Returns a random crop of a background and of its tumour's mask, mirrored or not."""
  volume = background.volume
  available = np.array(volume.values.shape)
  sizes = np.minimum(np.rint(EXTENT / _steps(volume)).astype(int), available)
  low = rng.integers(available - sizes + 1)
  box = Box(_three(low), _three(low + sizes))
  image = crop_to(volume, box)
  tumour = crop_to(volume._replace(values=background.tumour), box).values
  if rng.random() < 0.5:  # left and right are exchanged, back and front are not
    return image._replace(values=image.values[..., ::-1]), tumour[..., ::-1]
  return image, tumour


def _steps(volume: Volume) -> np.ndarray:
  """Returns the distances in mm of planes of voxels: the spacing, or less with a tilted gantry."""
  return 1 / np.linalg.norm(np.linalg.inv(volume.affine[:3, :3]), axis=1)


def _three(numbers: np.ndarray) -> tuple[int, int, int]:
  depth, height, width = numbers.tolist()
  return depth, height, width


def _draw_shape(rng: np.random.Generator) -> _Shape:
  """Returns a random ellipsoid with bumps."""
  size = RADIUS * np.exp(RADIUS_SPREAD * rng.normal())
  radii = np.clip(size * np.exp(AXIS_SPREAD * rng.normal(size=3)), *RADII)
  axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
  waves, phases = rng.normal(size=(3, _WAVES)) * 3, rng.uniform(0, 2 * np.pi, _WAVES)
  return _Shape(axes / radii, waves, phases, (1 + BUMPS) * max(radii))


def _depths(shape: _Shape, offsets: np.ndarray) -> np.ndarray:
  """Returns the depths in mm of points below the surface; outside they are negative.

  The depth is measured along the ray from the centre.

  Args:
    shape: of the lesion.
    offsets: [..., 3] from the centre of the lesion, mm.
  """
  lengths = np.linalg.norm(offsets, axis=-1)
  rays = offsets / np.maximum(lengths, 1e-9)[..., None]
  # The bound applies only to the centre itself, which has no direction.
  per_mm = np.maximum(np.linalg.norm(rays @ shape.to_sphere, axis=-1), 1 / RADII[1])
  sums = np.cos(rays @ shape.waves + shape.phases).sum(-1)
  return (1 + BUMPS * np.tanh(sums / np.sqrt(_WAVES))) / per_mm - lengths
