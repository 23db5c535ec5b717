"""A lesion planted in a real CT, whose texture alone depends on a class.

Its place, shape, size and mean are drawn alike for all classes. Its texture is a smooth random
field, the standard deviation of which, in HU, is log-normal around a median per class. Two classes
with medians m and m', and the same spread s, are told apart by it with an area under the ROC curve
of at most Φ(|ln(m / m')| / (s √2)): 0.90 with the numbers here.
"""

from typing import NamedTuple

import numpy as np

from mlseg.errors import UserError, require, unknown
from mlseg.io.volumes import Volume, crop_to
from mlseg.io.volumes.sampling import Box

MEDIANS = {"non_responder": 28.0, "responder": 12.0}  # of the standard deviation of texture, HU
SPREAD = 0.47  # standard deviation of its logarithm
CORRELATION = 2.0  # mm at which the field's correlation has fallen to 1 / e
EXTENT = (120.0, 56.0, 56.0)  # mm along slices, rows and columns of a picture, where there is that
LEAST_EXTENT = 40.0  # mm between the outermost voxels of a background, so that any lesion fits
RADIUS, RADIUS_SPREAD, AXIS_SPREAD = 9.0, 0.3, 0.15  # mm; of the logarithms of size and radii
RADII = (5.0, 15.0)  # mm, to which they are clipped
BUMPS = 0.2  # most that the surface is off the ellipsoid, as a part of the radius
MEAN, MEAN_SPREAD = 45.0, 12.0  # HU, of soft tissue
BODY = (-950, 200)  # HU between those of the air around a patient and of bone
LEAST_VOXELS = 20  # of a lesion; fewer have no texture
TRIES = 200  # lesions and their places that are tried
_WAVES = 6  # of which the bumps are made


class Background(NamedTuple):
  """A CT to plant lesions in."""

  name: str
  volume: Volume  # Hounsfield units
  tumour: np.ndarray  # [Z, Y, X] bool: a true one; all False where none is known


class Planted(NamedTuple):
  """A picture with its lesion, and what was drawn for it."""

  image: Volume  # int16, Hounsfield units
  mask: Volume  # uint8, 1 where there is nothing but the lesion
  heterogeneity: float  # standard deviation of the texture within the mask, HU


class _Shape(NamedTuple):
  to_sphere: np.ndarray  # [3, 3]: mm to parts of the radii
  waves: np.ndarray  # [3, K], per unit of direction
  phases: np.ndarray  # [K]
  reach: float  # mm from the centre, beyond which nothing is


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
  """Returns a random part of a background with a lesion of a class in it.

  Whatever the class, the same numbers are drawn: with two generators in the same state, two classes
  give pictures that differ in nothing but how strong the lesion's texture is.

  Args:
    rng: of all that is drawn.
    backgrounds: one of which is drawn; each passes `check`.
    label: class of the patient, one of `MEDIANS`.

  Raises:
    UserError: there is no background or no such class, or no place for the lesion is found.
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
  # The mask leaves out the blended edge, which beside lung is rougher than any texture. Moments are
  # those within it, so that a small lesion is not less heterogeneous by chance, nor the mean of a
  # heterogeneous one further off.
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

  It is white noise, the spectrum of which is multiplied by the root of that of the correlation:
  exact on any grid, which a sampled kernel is not where voxels are as large as it. Opposite ends
  of an axis are neighbours.

  Args:
    rng: of the noise.
    shape: of the grid.
    spacing: of its axes, mm.
    correlation: mm at which the correlation has fallen to 1 / e, well below the size of the grid.

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
  """Returns a part of a background, and which parts [Z, Y, X] of its voxels a lesion is."""
  for _ in range(TRIES):
    image, tumour = _draw_crop(rng, background)
    shape = _draw_shape(rng)  # anew with every place, as a large one may fit beside no tumour
    reach = shape.reach / _steps(image)
    centre = rng.uniform(reach, np.array(image.values.shape) - 1 - reach)
    near = tuple(
      slice(max(int(low) - 1, 0), int(high) + 2)
      for low, high in zip(centre - reach, centre + reach, strict=True)
    )
    depths = np.full(image.values.shape, -np.inf)
    points = image.world(np.moveaxis(np.mgrid[near], 0, -1))
    depths[near] = _depths(shape, points - image.world(centre))
    # An edge as wide as the finest voxel: with one of a slice's thickness, the uppermost and the
    # lowest slice of a lesion would be more background than texture.
    parts = np.clip(depths / min(image.spacing) + 0.5, 0, 1)
    # A lesion never lies on a true tumour, which is neither of its texture nor in its mask.
    if (parts == 1).sum() < LEAST_VOXELS or tumour[parts > 0].any():
      continue
    if BODY[0] < np.median(image.values[parts > 0]) < BODY[1]:
      return image, parts
  raise UserError(
    f"background {background.name}: no place in lung or soft tissue, off its tumour and of"
    f" {LEAST_VOXELS} voxels, was found for a lesion in {TRIES} tries"
  )


def _draw_crop(rng: np.random.Generator, background: Background) -> tuple[Volume, np.ndarray]:
  """Returns a part of a background and of its tumour's mask, mirrored or not."""
  volume = background.volume
  available = np.array(volume.values.shape)
  sizes = np.minimum(np.rint(EXTENT / _steps(volume)).astype(int), available)
  low = rng.integers(available - sizes + 1)
  box = Box(_three(low), _three(low + sizes))
  image = crop_to(volume, box)
  tumour = crop_to(volume._replace(values=background.tumour), box).values
  if rng.random() < 0.5:  # left and right, as another patient could be; not back and front
    return image._replace(values=image.values[..., ::-1]), tumour[..., ::-1]
  return image, tumour


def _steps(volume: Volume) -> np.ndarray:
  """Returns the mm between planes of voxels: the spacing, or less where a gantry was tilted."""
  return 1 / np.linalg.norm(np.linalg.inv(volume.affine[:3, :3]), axis=1)


def _three(numbers: np.ndarray) -> tuple[int, int, int]:
  depth, height, width = numbers.tolist()
  return depth, height, width


def _draw_shape(rng: np.random.Generator) -> _Shape:
  """Returns an ellipsoid of any size and direction, with bumps."""
  size = RADIUS * np.exp(RADIUS_SPREAD * rng.normal())
  radii = np.clip(size * np.exp(AXIS_SPREAD * rng.normal(size=3)), *RADII)
  axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
  waves, phases = rng.normal(size=(3, _WAVES)) * 3, rng.uniform(0, 2 * np.pi, _WAVES)
  return _Shape(axes / radii, waves, phases, (1 + BUMPS) * max(radii))


def _depths(shape: _Shape, offsets: np.ndarray) -> np.ndarray:
  """Returns how far below the surface points lie, on the ray from the centre; outside negative.

  Args:
    shape: of the lesion.
    offsets: [..., 3] from its centre, mm.
  """
  lengths = np.linalg.norm(offsets, axis=-1)
  rays = offsets / np.maximum(lengths, 1e-9)[..., None]
  # No ray is shorter than this bound but that of the centre itself, which has no direction.
  per_mm = np.maximum(np.linalg.norm(rays @ shape.to_sphere, axis=-1), 1 / RADII[1])
  sums = np.cos(rays @ shape.waves + shape.phases).sum(-1)
  return (1 + BUMPS * np.tanh(sums / np.sqrt(_WAVES))) / per_mm - lengths
