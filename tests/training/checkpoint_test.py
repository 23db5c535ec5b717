"""Checkpoints come back bit for bit, and a damaged one gives way to the one before."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.errors import UserError
from mlseg.training import step as train_step
from mlseg.training.checkpoint import Checkpoints, flatten
from mlseg.weighting import (
  bounded,
  chain,
  dynamic_memory_fusion,
  ema,
  per_epoch,
  with_auxiliary,
)
from mlseg.workdir.run_folder import PATTERN_SIGNS


@functools.cache
def _state(seed=0):
  base = dynamic_memory_fusion("bayesian", capacity=4, min_history=2)
  # An average over an epoch has a place for a Gram matrix, here of a size of 0.
  weighting = with_auxiliary(chain(per_epoch(base, 2), ema(0.9), bounded(0.1, 0.9)), "c")
  w = jax.random.normal(jax.random.key(seed), (64, 65))
  variables = {"params": {"w": w}, "batch_stats": {"mean": w[0]}}
  state = train_step.init_state(
    jax.random.key(seed), variables, optax.adam(0.1), weighting, ("a", "b", "c")
  )
  losses = dict(zip("abc", jax.random.uniform(jax.random.key(seed), (3,)), strict=True))
  _, weighting_state = weighting.update(losses, state.weighting_state)
  state = state._replace(step=jnp.int32(seed), weighting_state=weighting_state)
  return jax.tree.map(lambda x: x[None], state)  # a group of one model


def _open(folder):
  return Checkpoints(folder, _state(), 1)


def _save_to(checkpoints, step):
  checkpoints.save(step, _state(step))


def _save(folder, *steps):
  checkpoints = _open(folder)
  for step in steps:
    _save_to(checkpoints, step)
  checkpoints.close()


def _equal(state, expected):
  actual, expected = flatten(state), flatten(expected)
  assert list(actual) == list(expected)
  for name in actual:
    assert actual[name].dtype == expected[name].dtype
    np.testing.assert_array_equal(actual[name], expected[name])


def _largest(folder):
  return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


@pytest.mark.slow
def test_the_newest_state_comes_back_and_two_are_kept(tmp_path):
  _save(tmp_path / "c", 1, 2, 3)
  said = []
  checkpoints = _open(tmp_path / "c")
  state = checkpoints.restore(said.append)
  checkpoints.close()
  _equal(state, _state(3))
  assert jax.tree.structure(state) == jax.tree.structure(_state())
  assert said == []
  assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["2", "3"]


_TWO_DEVICES = """
import pathlib, sys
import jax, numpy as np
from mlseg.devices import sharding
from mlseg.training.checkpoint import Checkpoints

mesh = sharding.make_mesh(sharding.Layout(seed=2, data=1, model=1))
arrays = {"w": np.ones((2, 3), np.float32), "gram": np.ones((2, 0, 0), np.float32)}
state = sharding.place(arrays, sharding.by_model(mesh))
for step in (1, 2):
  checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), state, 2)
  restored = checkpoints.restore(print)
  checkpoints.save(step, state)
  checkpoints.close()
for name, array in restored.items():
  print(name, array.shape, array.sharding == state[name].sharding)
"""


def test_all_arrays_come_back_to_their_devices_also_those_without_entries(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", _TWO_DEVICES, str(tmp_path / "c")],
    env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.stdout.splitlines() == ["gram (2, 0, 0) True", "w (2, 3) True"], done.stderr


def test_nothing_saved_gives_none(tmp_path):
  checkpoints = _open(tmp_path / "c")
  assert checkpoints.restore(print) is None
  checkpoints.close()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flips", "truncate", "empty", "remove"])
def test_a_damaged_checkpoint_is_said_and_the_previous_one_used(tmp_path, damage):
  folder = tmp_path / "c"
  _save(folder, 1, 2)
  victim = _largest(folder / "2")
  content = bytearray(victim.read_bytes())
  if damage == "flips":
    content[: len(content) // 2] = bytes(byte ^ 0xFF for byte in content[: len(content) // 2])
  elif damage == "truncate":
    content = content[: len(content) // 2]
  elif damage == "empty":
    content.clear()
  if damage == "remove":
    victim.unlink()
  else:
    victim.write_bytes(bytes(content))
  said = []
  checkpoints = _open(folder)
  state = checkpoints.restore(said.append)
  _equal(state, _state(1))
  assert len(said) == 1
  assert "step 2" in said[0]
  assert (tmp_path / "c.damaged" / "2").is_dir()  # nothing is thrown away
  _save_to(checkpoints, 2)  # and its place is free again
  checkpoints.close()
  again = _open(folder)
  _equal(again.restore(said.append), _state(2))
  again.close()


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte_is_found_or_is_one_that_nobody_reads(tmp_path, part):
  folder = tmp_path / "c"
  _save(folder, 1, 2)
  victim = _largest(folder / "2")
  content = bytearray(victim.read_bytes())
  content[int(part * len(content))] ^= 0xFF
  victim.write_bytes(bytes(content))
  said = []
  checkpoints = _open(folder)
  _equal(checkpoints.restore(said.append), _state(2 - len(said)))
  checkpoints.close()


def test_content_that_is_readable_but_wrong_is_found_by_its_digest(tmp_path):
  folder = tmp_path / "c"
  _save(folder, 1, 2)
  other = tmp_path / "other"
  _save(other, 2, 3)
  # A whole, valid array store in the wrong place: only the digest can tell.
  (folder / "2" / "state").rename(tmp_path / "old")
  (other / "3" / "state").rename(folder / "2" / "state")
  said = []
  checkpoints = _open(folder)
  _equal(checkpoints.restore(said.append), _state(1))
  checkpoints.close()
  assert "digest" in said[0]


def test_a_state_is_read_back_before_it_counts_as_saved(tmp_path):
  folder = tmp_path / "c"
  checkpoints = _open(folder)
  _save_to(checkpoints, 1)
  checkpoints.close(verify=1)
  checkpoints = _open(folder)
  _save_to(checkpoints, 2)
  checkpoints.wait()
  _largest(folder / "2").write_bytes(b"")
  with pytest.raises(UserError, match=r"of step 2 was written to .* and cannot be read back"):
    checkpoints.close(verify=2)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
  checkpoints = _open(tmp_path / "c")

  def full(*args, **kwargs):
    raise OSError(28, "No space left on device\n" * 400)

  monkeypatch.setattr(checkpoints._manager, "save", full)
  with pytest.raises(
    UserError, match=r"no checkpoint can be written to .*/c \(.*No space"
  ) as caught:
    _save_to(checkpoints, 1)
  assert len(str(caught.value)) < 400
  monkeypatch.setattr(checkpoints._manager, "wait_until_finished", full)
  with pytest.raises(UserError, match="No space"):
    checkpoints.wait()
  monkeypatch.undo()
  checkpoints.close()


def test_what_a_killed_save_left_is_removed(tmp_path):
  folder = tmp_path / "c"
  _save(folder, 1)
  half = folder / "2.orbax-checkpoint-tmp"
  half.mkdir()
  (half / "data").write_text("half")
  checkpoints = _open(folder)
  _equal(checkpoints.restore(print), _state(1))
  checkpoints.close()
  assert [path.name for path in folder.iterdir()] == ["1"]


SIGNS = "".join(chr(n) for n in range(33, 127) if chr(n) not in "/" and chr(n) not in PATTERN_SIGNS)


@pytest.mark.parametrize("name", [SIGNS, " a b ", "größe", "x" * 200])
def test_a_path_that_is_not_refused_can_be_read_from(tmp_path, name):
  folder = tmp_path / name / "c"
  _save(folder, 1)
  checkpoints = _open(folder)
  _equal(checkpoints.restore(print), _state(1))
  checkpoints.close()


def test_no_readable_checkpoint_is_an_error_that_says_what_to_do(tmp_path):
  folder = tmp_path / "c"
  _save(folder, 1)
  _largest(folder / "1").write_bytes(b"")
  checkpoints = _open(folder)
  with pytest.raises(UserError, match="--workdir"):
    checkpoints.restore(print)
  checkpoints.close()


def test_flatten_names_every_array_of_a_state():
  names = flatten({"a": [jnp.ones(2), jax.random.key(0)], "b": {"c": jnp.int32(1)}})
  assert list(names) == ["a.0", "a.1", "b.c"]
  assert names["a.1"].dtype == jnp.uint32
