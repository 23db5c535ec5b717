"""How much memory a file of weights may take: trained weights hardly compress."""

from mlseg.errors import UserError

SMALL = 2**26  # bytes that any file may unfold to
FACTOR = 4  # of its own size, beyond that


def check_size(claimed: int, size: int) -> None:
  """Raises a UserError where a file claims far more bytes than weights of its size unfold to.

  Args:
    claimed: bytes of all of its arrays.
    size: bytes of the file.

  Example:
    >>> check_size(10**9, 15_000)
    Traceback (most recent call last):
    ...
    mlseg.errors.UserError: its arrays claim 1,000,000,000 bytes, and the file has 15,000: trained \
weights do not compress so well
  """
  if claimed > SMALL + FACTOR * size:
    raise UserError(
      f"its arrays claim {claimed:,} bytes, and the file has {size:,}: trained weights do not"
      " compress so well"
    )
