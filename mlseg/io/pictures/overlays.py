"""Drawing masks, outlines and saliency maps, as PNG files in memory."""

import cv2
import numpy as np

# RGB colours that the colour-blind can tell apart (Okabe and Ito); the first is that of class 1.
COLOURS = (
  (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
  (240, 228, 66),
)  # fmt: skip
_MOST_HEAT = 0.6  # share of the saliency map's colour where the saliency is 1
_TINT = 0.25  # share of a class's colour within its region
_PIXELS_PER_WIDTH = 400  # pixels of the longer side for each pixel of an outline's width


def mask_png(labels: np.ndarray, num_classes: int) -> bytes:
  """Returns a mask as a grey PNG: 0 and 255 for two classes, class indices for more.

  Args:
    labels: [H, W] uint8, the index of a class.
    num_classes: number of classes, the background included.
  """
  return _png(labels * 255 if num_classes == 2 else labels)


def share_png(shares: np.ndarray) -> bytes:
  """Returns numbers of 0 to 1, [H, W], as a grey PNG of 0 to 255."""
  return _png(np.rint(255 * shares.clip(0, 1)).astype(np.uint8))


def overlay_png(pixels: np.ndarray, labels: np.ndarray, num_classes: int) -> bytes:
  """Returns a picture as an RGB PNG, with the region of each class outlined and lightly tinted.

  Args:
    pixels: [H, W] or RGB [H, W, 3], uint8.
    labels: [H, W] uint8, the index of a class.
    num_classes: number of classes, including the background, which is not drawn.
  """
  return _png(draw(pixels, labels, num_classes)[..., ::-1])


def heat_png(pixels: np.ndarray, saliency: np.ndarray) -> bytes:
  """Returns a picture as an RGB PNG with its saliency map, which is more opaque where it is higher.

  Args:
    pixels: [H, W] or RGB [H, W, 3], uint8.
    saliency: [S, S] in [0, 1], the saliency map; it is interpolated bilinearly.
  """
  height, width = pixels.shape[:2]
  heat = cv2.resize(saliency.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
  canvas = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
  colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
  mixed = np.empty_like(colours)
  for row in range(height):  # one by one, since numbers of floating point take much memory
    share = _MOST_HEAT * heat[row, :, None]
    mixed[row] = np.rint((1 - share) * canvas[row, :, ::-1] + share * colours[row])
  return _png(mixed)


def draw(pixels: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
  """Returns the RGB pixels [H, W, 3] of `overlay_png`.

  Example:
    >>> labels = np.zeros((5, 5), np.uint8)
    >>> labels[2, 2] = 1
    >>> draw(np.zeros((5, 5), np.uint8), labels, 2)[2].tolist()[1:4]
    [[0, 0, 0], [213, 94, 0], [0, 0, 0]]
  """
  canvas = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels.copy()
  width = max(1, round(max(labels.shape) / _PIXELS_PER_WIDTH))
  for label in range(1, num_classes):
    region = labels == label
    colour = COLOURS[(label - 1) % len(COLOURS)]
    values = (1 - _TINT) * np.arange(256)[:, None] + _TINT * np.array(colour)
    tints = np.rint(values).astype(np.uint8)  # [256, 3], of each value in each channel
    for channel in range(3):
      plane = canvas[..., channel]
      np.copyto(plane, tints[:, channel][plane], where=region)
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, colour, width)
  return canvas


def _png(pixels: np.ndarray) -> bytes:
  """Returns pixels, [H, W] or BGR [H, W, 3] uint8, as PNG."""
  return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()
