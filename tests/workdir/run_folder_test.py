"""A run's folder: one owner, one process, and a log that is rewound."""

import json
import os

import pytest

from mlseg import files
from mlseg.errors import UserError
from mlseg.workdir import metrics_log, run_folder
from mlseg.workdir.metrics_log import MetricsFile


def _description(rate=0.1, data="abc"):
  return {"config": {"a": {"rate": rate, "sizes": (1, 2)}}, "data": data, "strategy": "loop"}


def _record(seed, step):
  return {"seed": seed, "step": step, "epoch": 0.5, "losses": {"a": 1.0}, "weights": {"a": None}}


def test_metrics_are_rewound_per_seed_and_a_cut_line_is_dropped(tmp_path):
  path = tmp_path / "metrics.jsonl"
  file = MetricsFile(path)
  for seed in (0, 1):
    for step in (2, 4, 6):
      file.append([_record(seed, step)])
  with path.open("a") as stream:
    stream.write('{"seed": 1, "st')
  assert file.rewind([1], 4) == 0
  records = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(r["seed"], r["step"]) for r in records] == [(0, 2), (0, 4), (0, 6), (1, 2), (1, 4)]


DAMAGED = ("null", "{}", "[]", "5", '"x"', "nonsense", '{"seed": null, "step": 2}',
           '{"seed": 0, "step": 2, "epoch": 1e999, "losses": [], "weights": {}}', "[" * 10_000,
           "\udcff\udc80")  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_of_the_metrics_stops_no_restart(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  file = MetricsFile(path)
  file.append([_record(0, 2), _record(0, 4)])
  content = path.read_bytes()
  path.write_bytes(line.encode("utf-8", "surrogateescape") + b"\n" + content)
  assert file.rewind([0], 2) == 1
  assert [r["step"] for r in metrics_log.read(tmp_path)] == [2]


@pytest.mark.parametrize("kind", ["missing", "empty", "pipe", "folder"])
def test_another_thing_in_place_of_the_metrics_is_said_at_once(tmp_path, kind):
  path = tmp_path / "metrics.jsonl"
  if kind == "empty":
    path.touch()
  elif kind == "pipe":
    os.mkfifo(path)
  elif kind == "folder":
    path.mkdir()
  file = MetricsFile(path)
  if kind in ("missing", "empty"):
    assert file.rewind([0], 2) == 0
    file.append([_record(0, 2)])
    return
  with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
    file.rewind([0], 2)
  with pytest.raises(UserError, match=r"metrics\.jsonl cannot be written"):
    file.append([_record(0, 2)])


@pytest.mark.parametrize("name", ["bs=8_[v2]", "a]b", "what?", "all*"])
def test_a_path_that_checkpoints_could_not_be_read_from_is_refused(tmp_path, name):
  with pytest.raises(UserError, match="its path must have none of the signs"):
    run_folder.check(tmp_path / name / "run", _description())
  assert not (tmp_path / name).exists()


def test_a_path_that_is_no_text_is_refused(tmp_path):
  with pytest.raises(UserError, match=r"bad\?: its path must be text in UTF-8"):
    run_folder.check(tmp_path / "bad\udcff", _description())


@pytest.mark.parametrize("name", ["x" * 300, "y" * 300 + "/z"])
def test_a_name_that_is_too_long_is_said(tmp_path, name):
  with pytest.raises(UserError, match=r"cannot be written.*name too long"):
    run_folder.check(tmp_path / name, _description())


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
  (tmp_path / "precious").write_text("content")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
  with pytest.raises(UserError, match="cannot be written"):
    run_folder.opened(tmp_path / "run").__enter__()
  assert (tmp_path / "precious").read_text() == "content"


def test_what_a_killed_process_left_is_removed(tmp_path):
  temporary = files.temporary_beside(tmp_path / "model.npz")
  temporary.touch()
  with run_folder.opened(tmp_path):
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"]


@pytest.mark.parametrize(
  "config", [5, "x", {"data": 5}, {"name": 5}, {"variant": {}}, {"weighting": ["x"]}]
)
def test_a_config_of_another_form_is_damage(tmp_path, config):
  (tmp_path / "config.json").write_text(json.dumps({"config": config}))
  with pytest.raises(UserError, match=r"config\.json is damaged: ValueError: config"):
    run_folder.read(tmp_path)


def test_a_folder_belongs_to_one_config_and_its_data(tmp_path):
  assert not run_folder.check(tmp_path / "new", _description())
  run_folder.claim(tmp_path, _description())
  assert run_folder.check(tmp_path, _description())
  with pytest.raises(UserError, match=r"config\.a\.rate: 0\.1 there, 0\.2 now"):
    run_folder.check(tmp_path, _description(rate=0.2))
  with pytest.raises(UserError, match="data: 'abc' there, 'abd' now"):
    run_folder.claim(tmp_path, _description(data="abd"))


def test_a_key_that_came_later_counts_as_its_default(tmp_path):
  run_folder.claim(tmp_path, _description())
  newer = _description()
  newer["config"]["b"] = {"momentum": (0.9, 1)}
  with pytest.raises(UserError, match=r"config\.b\.momentum: None there, \[0\.9, 1\] now"):
    run_folder.check(tmp_path, newer)
  assert run_folder.check(tmp_path, newer, {"b.momentum": (0.9, 1), "c": 3})
  with pytest.raises(UserError, match=r"config\.b\.momentum: \[0\.5, 1\] there"):
    run_folder.check(tmp_path, newer, {"b.momentum": (0.5, 1)})


@pytest.mark.parametrize("content", ["", "[]", '{"config": {}}', "{"])
def test_a_config_json_of_something_else_is_refused(tmp_path, content):
  (tmp_path / "config.json").write_text(content)
  with pytest.raises(UserError, match=r"config\.json is not the config of a run"):
    run_folder.check(tmp_path, _description())
  assert (tmp_path / "config.json").read_text() == content


def test_a_second_process_is_kept_out(tmp_path):
  with run_folder.opened(tmp_path / "a" / "b"), pytest.raises(UserError, match="another process"):
    run_folder.opened(tmp_path / "a" / "b").__enter__()
  with run_folder.opened(tmp_path / "a" / "b"):
    pass  # and the lock is free again


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written"):
    run_folder.opened(tmp_path / "file" / "run").__enter__()
