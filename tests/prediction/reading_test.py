"""Batches of pictures, with pictures that are made here."""

import itertools
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.io.pictures.picture import Picture
from mlseg.prediction import reading


@pytest.fixture
def read(monkeypatch):
  """Makes files readable by name: 'bad...' is damaged, 'large...' has 100 pixels, others one."""

  def read(path, sixteen_bit):
    assert sixteen_bit == "range"
    if path.name.startswith("bad"):
      raise UserError(f"{path} is damaged")
    side = 10 if path.name.startswith("large") else 1
    return Picture(np.zeros((side, side), np.uint8), None)

  monkeypatch.setattr(reading.picture_files, "read", read)


def _batches(names, batch_size):
  """Returns the names of the pictures of each batch, and those of its unreadable files."""
  work = [(pathlib.Path(name), name) for name in names]
  with ThreadPoolExecutor(2) as pool:
    return [
      ([job.name for job in jobs], [str(error).split()[0] for error in errors])
      for jobs, errors in reading.batches(work, "range", batch_size, pool)
    ]


def test_batches_are_full_but_the_last_and_in_order(read):
  names = [f"{n}.png" for n in range(11)]
  batches = _batches(names, 3)
  assert [len(jobs) for jobs, _ in batches] == [3, 3, 3, 2]
  assert list(itertools.chain(*(jobs for jobs, _ in batches))) == names


def test_files_that_cannot_be_read_come_with_the_batch_at_hand(read):
  assert _batches(["a", "bad1", "b", "bad2", "c", "bad3"], 2) == [
    (["a", "b"], ["bad1"]),
    (["c"], ["bad2", "bad3"]),
  ]
  assert _batches(["bad1"], 2) == [([], ["bad1"])]


def test_a_batch_of_large_pictures_ends_early(read, monkeypatch):
  monkeypatch.setattr(reading, "MAX_BATCH_BYTES", 150)
  batches = _batches(["large1", "large2", "large3", "a", "b"], 4)
  assert [jobs for jobs, _ in batches] == [["large1", "large2"], ["large3", "a", "b"]]


def test_large_pictures_are_read_one_at_a_time(monkeypatch):
  sizes = {"a": 10, "b": 10, "large": 1000, "c": 10, "d": 80, "e": 10, "f": 5, "g": 5, "h": 5}
  monkeypatch.setattr(reading, "MAX_BATCH_BYTES", 100)
  monkeypatch.setattr(reading.picture_files, "unfolded_bytes", lambda path: sizes[path.name])
  work = [(pathlib.Path(name), name) for name in sizes]
  together = [[name for _, name in files] for files in reading._read_together(work)]
  assert together == [["a", "b"], ["large"], ["c", "d", "e"], ["f", "g", "h"]]
