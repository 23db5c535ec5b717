"""The errors of the library that stores checkpoints: one line for each, and no tracebacks.

When one array cannot be read or written, orbax logs a traceback in each of its threads, and closes
its event loop under the work on the other arrays, each of which would print one more.
"""

import logging
import re
import sys
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

from mlseg.errors import printable

_CLOSED = "Event loop is closed"
# What the system said, at the end of a message that names each part of the storage layer first.
_OF_SYSTEM = re.compile(r"([^:]{3,80}?) \[[^\]]*os_error_code='\d+'")


def reason(error: BaseException) -> str:
  """Returns what is wrong, without the hundreds of lines that an error may have.

  Example:
    >>> reason(ValueError("Error writing a: Failed to write b: No space left [os_error_code='28']"))
    'No space left'
    >>> reason(KeyError())
    'KeyError'
  """
  text = str(error).strip()
  of_system = _OF_SYSTEM.search(text)
  if of_system:
    return printable(of_system[1].strip())
  return printable(text.splitlines()[0][:120]) if text else type(error).__name__


def hide() -> Callable[[], None]:
  """Hides what orbax and its threads print about errors, which are raised as well.

  Returns:
    A function that shows it again. It is not called where a save has failed: threads may then print
    until the process ends.
  """
  show, show_unraisable = sys.excepthook, sys.unraisablehook
  logs = [logging.getLogger(name) for name in ("absl", "asyncio")]

  def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if _CLOSED not in str(error):
      show(kind, error, trace)

  def unraisable_hook(unraisable: Any) -> None:
    if not _is_abandoned(unraisable) and _CLOSED not in str(unraisable.exc_value):
      show_unraisable(unraisable)

  def show_again() -> None:
    sys.excepthook, sys.unraisablehook = show, show_unraisable
    for log in logs:
      log.removeFilter(_is_not_of_orbax)

  sys.excepthook, sys.unraisablehook = hook, unraisable_hook
  warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
  for log in logs:
    log.addFilter(_is_not_of_orbax)
  return show_again


def _is_abandoned(unraisable: Any) -> bool:
  """Returns whether an error that nobody can catch is of work that orbax gave up."""
  codes = [getattr(unraisable.object, "cr_code", None)]
  if unraisable.exc_traceback is not None:
    codes.append(unraisable.exc_traceback.tb_frame.f_code)
  files = [code.co_filename for code in codes if code is not None]
  return any("orbax" in file or "asyncio" in file for file in files)


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
  return "orbax" not in f"{record.pathname} {record.getMessage()}"
