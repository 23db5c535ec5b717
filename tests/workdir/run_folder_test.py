"""A run's folder: one owner, one process, and a log that is rewound."""

import json

import pytest

from mlseg.errors import UserError
from mlseg.workdir import run_folder
from mlseg.workdir.metrics_log import MetricsFile


def _description(rate=0.1, data="abc"):
  return {"config": {"a": {"rate": rate, "sizes": (1, 2)}}, "data": data, "strategy": "loop"}


def test_metrics_are_rewound_per_seed_and_a_cut_line_is_dropped(tmp_path):
  path = tmp_path / "metrics.jsonl"
  file = MetricsFile(path)
  for seed in (0, 1):
    for step in (2, 4, 6):
      file.append([{"seed": seed, "step": step}])
  with path.open("a") as stream:
    stream.write('{"seed": 1, "st')
  file.rewind([1], 4)
  records = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(r["seed"], r["step"]) for r in records] == [(0, 2), (0, 4), (0, 6), (1, 2), (1, 4)]


def test_a_folder_belongs_to_one_config_and_its_data(tmp_path):
  assert not run_folder.check(tmp_path / "new", _description())
  run_folder.claim(tmp_path, _description())
  assert run_folder.check(tmp_path, _description())
  with pytest.raises(UserError, match=r"config\.a\.rate: 0\.1 there, 0\.2 now"):
    run_folder.check(tmp_path, _description(rate=0.2))
  with pytest.raises(UserError, match="data: 'abc' there, 'abd' now"):
    run_folder.claim(tmp_path, _description(data="abd"))


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
