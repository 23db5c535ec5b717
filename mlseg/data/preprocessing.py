"""Preprocessing on the host, once per data set: resizing and the bilateral filter."""

import cv2
import numpy as np

from mlseg.errors import UserError


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
  """Returns a picture [H, W] or [H, W, 3] as [size, size, ...]; each pixel is the mean of its area.

  Example:
    >>> resize_image(np.array([[0, 100], [100, 200]], np.uint8), 1).tolist()
    [[100]]
  """
  if image.shape[:2] == (size, size):
    return image
  return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
  """Returns a mask [H, W] of classes as [size, size]; each pixel is a copy of the nearest one."""
  if mask.shape == (size, size):
    return mask
  return cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


def reduce(image: np.ndarray, mask: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns a picture and its mask reduced by a factor; sides are rounded to whole pixels.

  Args:
    image: [H, W] or [H, W, 3]; each new pixel is the mean of its area.
    mask: [H, W], classes or numbers of objects; each new pixel is a copy of the nearest one.
    factor: the number of pixels along a side that become one.

  Example:
    >>> reduce(np.array([[0, 100], [100, 200]], np.uint8), np.eye(2, dtype=np.uint8), 2)[0].tolist()
    [[100]]
  """
  if factor == 1:
    return image, mask
  height, width = (max(round(side / factor), 1) for side in mask.shape)
  return (
    cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA),
    cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
  )


def bilateral_filter(
  image: np.ndarray, *, diameter: int, sigma_space: float, sigma_intensity: float
) -> np.ndarray:
  """Returns a picture smoothed within regions, but not across edges.

  Each pixel becomes the mean of its neighbours, weighted by a Gaussian of their distance times a
  Gaussian of their difference in intensity.

  Args:
    image: [H, W] or RGB [H, W, 3] uint8; the difference of colours is summed over the channels.
    diameter: of the neighbourhood, pixels; 0: no filter.
    sigma_space: of the distance, pixels.
    sigma_intensity: of the difference, grey values of 0 to 255.

  Returns:
    uint8, as the image.

  Raises:
    UserError: a parameter is out of its range.

  Reference: Golnari & Diba, arXiv 2410.19745, eqs. 26-27; Tomasi and Manduchi, ICCV 1998.
  """
  if diameter < 0:
    raise UserError(f"config.data.diameter must not be negative, not {diameter}")
  if diameter == 0:
    return image
  for name, sigma in (("sigma_space", sigma_space), ("sigma_intensity", sigma_intensity)):
    if not sigma > 0:
      raise UserError(f"config.data.{name} must be positive, not {sigma}")
  return cv2.bilateralFilter(image, diameter, sigma_intensity, sigma_space)
