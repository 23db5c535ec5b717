"""What a user is told: one line, without what could steer a terminal."""

import errno

import pytest

from mlseg.errors import UserError, machine_fault, one_line, printable, user_errors


@pytest.mark.parametrize(
  ("name", "shown"),
  [
    ("a\x1b[31mred", "a?[31mred"),
    ("two\nlines\r\nand\ttab", "two lines  and tab"),
    ("\u202egnp.exe", "?gnp.exe"),
    ("caf\u00e9 \u2603 \u200d", "caf\u00e9 \u2603 \u200d"),
    ("bad \udcff byte", "bad ? byte"),
    ("bell\x07\x7f\x9b", "bell???"),
  ],
)
def test_a_message_has_no_control_characters(name, shown):
  assert printable(name) == shown
  assert str(UserError(f"{name}: cannot be read")) == f"{shown}: cannot be read"


def test_an_error_of_a_library_becomes_one_line():
  with pytest.raises(UserError) as caught, user_errors("config.model"):
    raise ValueError("first\nsecond")
  assert str(caught.value) == "config.model: first second"
  assert one_line(KeyError()) == "KeyError"
  assert one_line(ValueError("x" * 1000), 5) == "ValueError: xxxxx"


def test_a_full_disk_is_found_among_the_causes():
  error = RuntimeError("of a library")
  error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "a\nb")
  assert machine_fault(error) == "a b: No space left on device"
  assert machine_fault(RuntimeError("in C++: write() failed: No space left on device; at 5")) == (
    "No space left on device"
  )
  assert machine_fault(FileNotFoundError(errno.ENOENT, "No such file")) is None
  assert machine_fault(MemoryError()) is not None
