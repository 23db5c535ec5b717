"""What a group of models logs, and what it prints of models that diverged or skipped steps."""

import json
import pathlib

import numpy as np
import pytest

from mlseg.data.splits.grouped import Split
from mlseg.recipe import experiment, parse
from mlseg.training.groups import Group, Run, SeedModel
from mlseg.training.programs import Status
from mlseg.training.step import NonFinite, StepLog
from mlseg.training.validation import Validation

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
PART = Split(np.arange(4), np.arange(4, 6), np.arange(6, 8))


@pytest.fixture(scope="module")
def experiments():
  flags = "--config.losses=('soft_dice', 'focal')", "--config.auxiliary.name=none"
  weights = "--config.weighting.fixed=(1.0, 1.0)"
  first = parse.content(["", f"--config={SMOKE}", *flags, weights])
  second = first | {"name": "other", "losses": ("focal",)}
  second["weighting"] = first["weighting"] | {"fixed": (1.0,)}
  return experiment.read(first), experiment.read(second)


def test_a_run_is_named_by_what_it_trains_not_by_its_variant(experiments, tmp_path):
  first = experiments[0]
  assert Run(first, tmp_path).name == "smoke, dynamic_memory_fusion, variance"
  changed = first.content["weighting"] | {"name": "uncertainty"}
  other = first._replace(content=first.content | {"weighting": changed, "variant": "fixed"})
  assert Run(other, tmp_path).name == "smoke, uncertainty"
  assert Run(other, tmp_path, "cell").name == "cell"
  assert Run(experiments[1], tmp_path).name == "other, focal alone"


def _group(experiments, folder):
  runs = [Run(one, folder / one.name) for one in experiments]
  for run in runs:
    run.workdir.mkdir()
  models = [SeedModel(0, 3, PART), SeedModel(0, 4, PART), SeedModel(1, 3, PART)]
  return Group(tuple(runs), tuple(models))


def _status(in_row=(0, 0, 0), total=(0, 0, 0)):
  losses = {"soft_dice": np.array([0, 0, 0]), "focal": np.array([0, 2, 0])}
  counts = NonFinite(np.array(total), np.array(in_row), losses)
  return Status(np.array([7, 7, 7]), np.zeros(3, bool), counts)


def _logged(status, validation=None, cosines=None):
  losses = {"soft_dice": np.array([0.1, 0.2, 0.3]), "focal": np.array([1.0, 2.0, 3.0])}
  weights = {name: 10 * values for name, values in losses.items()}
  return StepLog(losses, weights), validation, status, cosines


def test_a_record_has_the_losses_of_its_own_recipe(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  logged = _logged(_status(total=(0, 5, 0)))
  first, other = (group.record(index, 7, 0.5, 20.0, logged) for index in (1, 2))
  assert first["losses"] == {"soft_dice": 0.2, "focal": 2.0}
  assert first["weights"] == {"soft_dice": 2.0, "focal": 20.0}
  assert (first["seed"], first["step"], first["epoch"], first["nonfinite"]) == (4, 7, 0.5, 5)
  assert other["losses"] == {"focal": 3.0}
  assert "validation" not in first
  assert "cosines" not in first


def test_a_record_has_the_cosines_of_the_pairs_of_its_own_recipe(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  cosines = np.arange(12.0).reshape(3, 2, 2)  # in the order focal, soft_dice
  records = [group.record(n, 7, 0.5, 20.0, _logged(_status(), cosines=cosines)) for n in (1, 2)]
  assert [record["cosines"] for record in records] == [{"soft_dice/focal": 6.0}, {}]


def test_a_validation_leaves_out_the_scores_that_the_network_has_not(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  losses = {"soft_dice": np.full(3, 0.5), "focal": np.full(3, 0.25)}
  validation = Validation({"dice": np.array([0.6, 0.7, 0.8])}, losses)
  record = group.record(2, 7, 1.0, 20.0, _logged(_status(), validation))
  assert record["validation"] == {"dice": 0.8, "losses": {"focal": 0.25}}


def test_lines_go_to_the_file_of_their_run_and_are_dropped_from_a_step_on(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  line = {"seed": 3, "epoch": 0.5, "losses": {"focal": 1.0}, "weights": {"focal": 1.0}}
  for step in (2, 4):
    group.append([0, 2], [line | {"step": step}] * 2)
  with (group.runs[0].workdir / "metrics.jsonl").open("a") as file:
    file.write("null\n")
  assert group.rewind(2) == 1  # the damaged line
  for run in group.runs:
    lines = (run.workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [line | {"step": 2}]


def test_models_that_diverged_are_named_with_the_loss(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  limit = experiments[0].max_nonfinite
  messages = group.diverged(_status(in_row=(0, limit, limit)))
  assert messages.keys() == {(0, 4), (1, 3)}
  assert messages[0, 4] == (
    f"{group.name(1)} stopped at step 7: loss focal was not finite in {limit} steps in a row"
    f" (config.max_nonfinite is {limit})"
  )
  assert "the gradient, though no loss, was not finite" in messages[1, 3]


def test_skipped_steps_are_counted_by_model(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  assert group.skipped(_status(total=(0, 2, 0, 9))) == [
    f"{group.name(1)}: 2 steps were skipped as not finite"
  ]


def test_names_of_groups(experiments, tmp_path):
  group = _group(experiments, tmp_path)
  assert (group.title, group.folder) == ("3 models", "seeds_3_to_3")
  assert group.name(2) == "other, focal alone, seed 3"
  alone = Group(group.runs[:1], group.models[1:2])
  assert (alone.title, alone.folder) == ("seed 4", "seed_4")
