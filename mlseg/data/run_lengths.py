"""Masks as run lengths, as SIIM-ACR has them."""

import numpy as np

from mlseg.errors import UserError


def decode(text: str, height: int, width: int, where: str) -> np.ndarray:
  """Returns a mask [height, width] bool of pairs of numbers: a gap, and the length of a run.

  Pixels are counted down the columns, from the left one on. A gap is from the end of the run
  before, or from the first pixel; so these run lengths are relative.

  Args:
    text: numbers with blanks between them.
    height: of the mask, pixels.
    width: of the mask, pixels.
    where: the text is, for messages.

  Raises:
    UserError: the text is no pairs of numbers, a length is 0, or a run ends outside.

  Example:
    >>> decode("1 2 1 1", 3, 2, "row 2").astype(int).tolist()
    [[0, 0], [1, 1], [1, 0]]
  """
  try:
    numbers = np.array([int(number) for number in text.split()])
  except ValueError:
    raise UserError(f"{where}: run lengths must be whole numbers, not {text[:40]!r}") from None
  if len(numbers) == 0 or len(numbers) % 2:
    raise UserError(f"{where}: run lengths must be pairs, not {len(numbers)} numbers")
  gaps, lengths = numbers[::2], numbers[1::2]
  if gaps.min() < 0 or lengths.min() < 1:
    raise UserError(f"{where}: a run needs a gap of 0 or more and a length of 1 or more")
  ends = np.cumsum(gaps + lengths)
  if ends[-1] > height * width:
    raise UserError(f"{where}: a run ends at pixel {ends[-1]}, outside of {height}×{width}")
  steps = np.zeros(height * width + 1, np.int64)
  np.add.at(steps, ends - lengths, 1)  # a gap of 0 ends and starts at one pixel
  np.add.at(steps, ends, -1)
  return np.cumsum(steps[:-1]).astype(bool).reshape(width, height).T
