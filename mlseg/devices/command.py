"""How a command begins: what Ctrl-C does, and a standard output that is closed or full.

This module imports nothing but the standard library, so that a command has it from its first
moment, while jax and others still load.
"""

import contextlib
import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

INTERRUPTED = 130  # the exit code after Ctrl-C
OLD = "old"  # in a temporary folder, what is replaced: it is removed by nothing but success
_STALE = 86_400.0  # seconds after which no process is writing to a temporary folder
_folders: list[pathlib.Path] = []  # the temporary folders of this process


def begin(name: str, after: str = "the same command goes on from what is saved") -> None:
  """Makes Ctrl-C end this process in one line, and lets no standard output end it.

  While a run trains, `training.stopping.stop_signals` takes the signal, and saves the state. A
  command that was started without Ctrl-C, as a shell starts it in the background, stays so.

  Args:
    name: of the command, for the lines that are printed.
    after: what can be done after Ctrl-C.
  """
  guard_output(name)
  if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    line = f"\n{name}: stopped by SIGINT; {after}\n".encode()

    def stop(signum: int, frame: Any) -> None:
      del signum, frame
      # Not by an exception, which a library that is being imported may swallow, or print.
      with contextlib.suppress(OSError):
        os.write(2, line)
      for folder in _folders:
        _remove(folder)
      os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, stop)
  signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def hold_interrupts() -> None:
  """Keeps Ctrl-C waiting until `begin` is called, in the program that replaces this one."""
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def temporary_folder(parent: pathlib.Path, purpose: str) -> Iterator[pathlib.Path]:
  """Yields a new folder, which is removed at the end, also when Ctrl-C ends the process.

  What a process that was killed left there more than a day ago is removed, too.

  Args:
    parent: the folder that it is made in.
    purpose: a part of its name.

  Raises:
    OSError: it cannot be made.
  """
  import shutil
  import tempfile

  prefix = f".mlseg-{purpose}-"
  _remove_stale(parent, prefix)
  folder = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
  _folders.append(folder)
  try:
    yield folder
  finally:
    _folders.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(parent: pathlib.Path, prefix: str) -> None:
  for entry in os.scandir(parent):
    if re.fullmatch(re.escape(prefix) + "[a-z0-9_]{8}", entry.name):
      is_old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE
      if is_old and entry.is_dir(follow_symlinks=False):
        _remove(pathlib.Path(entry.path))


def _remove(folder: pathlib.Path) -> None:
  """Removes a temporary folder, unless it keeps what was to be replaced."""
  import shutil

  if not (folder / OLD).exists():
    shutil.rmtree(folder, ignore_errors=True)


def guard_output(name: str) -> None:
  """Makes a failure of standard output or standard error a line instead of the command's end.

  Args:
    name: of the command.
  """
  for number, attribute in ((1, "stdout"), (2, "stderr")):
    stream = getattr(sys, attribute)
    if isinstance(stream, Output):
      continue
    if stream is None:  # closed by the shell: no file that is opened later may get its number
      stream = _nothing(number)
    with contextlib.suppress(AttributeError, ValueError):
      stream.reconfigure(errors="backslashreplace")  # names of files that are no text
    setattr(sys, attribute, Output(stream, number, name))


def _nothing(number: int) -> TextIO:
  """Returns a stream that goes nowhere, with the number of a standard stream that is closed."""
  descriptor = os.open(os.devnull, os.O_WRONLY)
  if descriptor != number:
    os.dup2(descriptor, number)
    os.close(descriptor)
  return open(number, "w", encoding="utf-8", closefd=False)


class Output:
  """A standard stream; what cannot be written is lost, and one line on standard error says so.

  Args:
    stream: the stream.
    number: its file descriptor.
    name: of the command.
  """

  def __init__(self, stream: TextIO, number: int, name: str):
    self._stream = stream
    self._number = number
    self._name = name

  def write(self, text: str) -> int:
    """Writes text, as far as that is possible; returns its length."""
    try:
      self._stream.write(text)
    except OSError as error:
      self._give_up(error)
    return len(text)

  def flush(self) -> None:
    """Writes what was kept back, as far as that is possible."""
    try:
      self._stream.flush()
    except OSError as error:
      self._give_up(error)

  def _give_up(self, error: OSError) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, self._number)
    os.close(descriptor)
    if self._number == 1:
      line = f"{self._name}: standard output cannot be written ({error.strerror}), and is left out"
      print(line, file=sys.stderr)

  def __getattr__(self, attribute: str) -> Any:
    return getattr(self._stream, attribute)
