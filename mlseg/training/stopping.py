"""The signals that ask a run to save its state and end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
  """The run was asked to stop, and its state is saved. `signum` is the signal."""

  def __init__(self, signum: int, step: int):
    super().__init__(
      f"stopped by {signal.Signals(signum).name} and saved at step {step};"
      " the same command goes on from there"
    )
    self.signum = signum


@contextmanager
def stop_signals() -> Iterator[list[int]]:
  """Yields a list that holds the signal once SIGTERM or SIGINT came; a second one kills."""
  stop: list[int] = []

  def handle(signum: int, _: Any) -> None:
    stop.append(signum)
    signal.signal(signum, signal.SIG_DFL)

  if threading.current_thread() is not threading.main_thread():
    yield stop  # Python delivers signals to the main thread alone
    return
  old = {signum: signal.signal(signum, handle) for signum in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield stop
  finally:
    for signum, handler in old.items():
      signal.signal(signum, handler)
