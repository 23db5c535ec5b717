"""Label maps for tests: the same for the same seed, and of a different kind for the next one."""

import numpy as np
from scipy import ndimage

KINDS = ("blobs", "empty", "full", "border", "pixel", "noise")


def random_labels(
  seed: int,
  *,
  num_classes: int | None = None,
  batch: int | None = None,
  shape: tuple[int, ...] | None = None,
) -> np.ndarray:
  """Returns label maps [B, H, W] int; image b is of the kind `KINDS[(seed + b) % 6]`.

  `blobs` has smooth regions of all classes, `border` one foreground region that touches the border,
  `noise` an independent class at each pixel; `empty`, `full` and `pixel` are background alone, a
  foreground class alone and one pixel of a foreground class.

  Args:
    seed: decides kinds, sizes and contents.
    num_classes: C, the background included; None: 2 to 5, by seed.
    batch: B; None: 1 to 4, by seed.
    shape: (H, W), or that of a volume; None: two different lengths from 8 to 40, by seed.
  """
  rng = np.random.default_rng(seed)
  drawn_classes, drawn_batch = rng.integers(2, 6), rng.integers(1, 5)
  drawn_shape = rng.choice(np.arange(8, 41), 2, replace=False)
  num_classes, batch = num_classes or int(drawn_classes), batch or int(drawn_batch)
  shape = shape or tuple(drawn_shape.tolist())
  kinds = [KINDS[(seed + image) % len(KINDS)] for image in range(batch)]
  return np.stack([_image(rng, kind, num_classes, shape) for kind in kinds])


def random_pair(
  seed: int,
  *,
  num_classes: int | None = None,
  batch: int | None = None,
  shape: tuple[int, ...] | None = None,
):
  """Returns predictions and masks [B, H, W]; from seed to seed each kind meets each other kind.

  Every fifth prediction is the mask moved by a few pixels.
  """
  masks = random_labels(seed, num_classes=num_classes, batch=batch, shape=shape)
  if seed % 5 == 4:
    axes = tuple(range(1, masks.ndim))
    moved = np.random.default_rng(seed).integers(-3, 4, len(axes))
    return np.roll(masks, tuple(moved), axes), masks
  num_classes = num_classes or max(2, int(masks.max()) + 1)
  other = 6000 + seed + seed // 6
  return random_labels(
    other, num_classes=num_classes, batch=len(masks), shape=masks.shape[1:]
  ), masks


def _image(rng, kind, num_classes, shape):
  labels = np.zeros(shape, int)
  label = rng.integers(1, num_classes)
  if kind == "blobs":
    noise = rng.normal(size=(num_classes, *shape))
    labels = ndimage.gaussian_filter(noise, (0, *[2] * len(shape))).argmax(axis=0)
  elif kind == "full":
    labels[:] = label
  elif kind == "border":
    height, *others = (rng.integers(1, size) for size in shape)
    labels[(slice(height), *(slice(-size, None) for size in others))] = label
    labels = np.flip(labels) if rng.random() < 0.5 else labels
  elif kind == "pixel":
    labels[tuple(rng.integers(shape))] = label
  elif kind == "noise":
    labels = rng.integers(0, num_classes, shape)
  return labels
