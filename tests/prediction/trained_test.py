"""A run's folder becomes a network again, also one that an older version wrote."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.postprocessing.decision import PLAIN, Choice, Decision
from mlseg.prediction import trained
from mlseg.recipe import experiment, parse
from mlseg.workdir import model_file, postprocessing_file

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"


@pytest.fixture(scope="module")
def content():
  return parse.content(["", f"--config={SMOKE}", "--config.model.depth=1"])


def _write(folder, content, columns="id,label,group,pixels_background,pixels_lesion"):
  """Writes the files of a run that was never trained, and returns its variables."""
  model = experiment.read(content).network.make(2, 1)
  images = jnp.zeros((1, 32, 32, 1))
  best = {seed: jax.jit(model.init)(jax.random.key(seed), images) for seed in (0, 3)}
  model_file.write(folder, best)
  (folder / "config.json").write_text(json.dumps({"config": content, "data": "abc"}))
  (folder / "data.csv").write_text(columns + "\n")
  return best


def test_the_network_of_a_run_has_the_variables_of_its_seeds(tmp_path, content):
  best = _write(tmp_path, content)
  run = trained.load(tmp_path)
  assert (run.seeds, run.channels, run.label_names) == ((0, 3), 1, ())
  assert run.class_names == ("background", "lesion")
  assert run.name == f"smoke:{content['variant']}"
  assert run.data.filtering == {"diameter": 5, "sigma_space": 2.0, "sigma_intensity": 25.0}
  found = jax.tree.map(lambda leaf: leaf[1], run.variables)
  jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(np.asarray, best[3]))


def test_a_run_from_before_some_keys_existed_is_read(tmp_path, content):
  _write(tmp_path, content)
  late = ("patch_size", "patch_overlap", "num_folds", "fold", "placement", "resplit")
  data = {name: value for name, value in content["data"].items() if name not in late}
  old = {name: content[name] for name in ("name", "variant", "model")} | {"data": data}
  (tmp_path / "config.json").write_text(json.dumps({"config": old, "data": "abc"}))
  run = trained.load(tmp_path)
  assert (run.data.patch_size, run.data.input_shape, run.data.num_slices) == (0, (32, 32), 1)
  assert run.network.segments


@pytest.mark.parametrize(
  ("file", "text", "message"),
  [
    ("config.json", '{"config": {"name": "x"}}', r"config\.json is not the config of a run"),
    ("config.json", "[]", r"config\.json is not the config of a run"),
    ("data.csv", "id,pixels_background\n", "must name two classes"),
    ("data.csv", "id,pixels_a,pixels_b,pixels_c\n", r"has other arrays .* with 3 classes"),
    ("model.npz", "PK", r"model\.npz is damaged"),
  ],
)
def test_a_damaged_file_is_named(tmp_path, content, file, text, message):
  _write(tmp_path, content)
  (tmp_path / file).write_text(text)
  with pytest.raises(UserError, match=message):
    trained.load(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match="does not exist"):
    trained.load(tmp_path / "nowhere")


def _choice(*decision):
  return Choice(Decision(*decision), 3, 0.5, 0.75, {}, {}, {})


SEEDS = {0: _choice(0.4, 0.002, 0.01), 3: _choice(0.3, 0.005, 0.0)}


def _write_choices(folder, content, choices, views="flips", columns=None):
  prediction = {"views": views, "threshold": "validation", "components": "validation"}
  _write(folder, content | {"prediction": prediction}, **({"columns": columns} if columns else {}))
  if choices is not None:
    postprocessing_file.write(folder, choices)


def test_a_run_from_before_views_predicts_the_most_probable_class(tmp_path, content):
  _write(tmp_path, {name: own for name, own in content.items() if name != "prediction"})
  run = trained.load(tmp_path)
  assert (run.views, run.manner.decision) == ("one", PLAIN)
  assert trained.load(tmp_path, "horizontal").views == "horizontal"


def test_what_was_chosen_for_the_mean_of_the_models_is_applied_to_it(tmp_path, content):
  mean = _choice(0.35, 0.001, 0.02)
  _write_choices(tmp_path, content, postprocessing_file.Choices(SEEDS, mean))
  run = trained.load(tmp_path)
  assert (run.views, run.manner.decision) == ("flips", mean.decision)
  run = trained.load(tmp_path, "one", postprocess=False)
  assert (run.views, run.manner.decision) == ("one", PLAIN)


def test_without_a_choice_for_the_mean_the_medians_of_the_seeds_are_applied(tmp_path, content):
  _write_choices(tmp_path, content, postprocessing_file.Choices(SEEDS, None))
  assert trained.load(tmp_path).manner.decision == Decision(0.3, 0.002, 0.0)


@pytest.mark.parametrize(
  ("choices", "message"),
  [
    (None, r"postprocessing\.json is not there, .* --postprocess=False predicts without it"),
    (postprocessing_file.Choices({0: SEEDS[0]}, None), "has no choice for seed 3"),
    (
      postprocessing_file.Choices({0: SEEDS[0], 3: _choice(None, 0.0, 0.0)}, None),
      "its thresholds do not fit the run",
    ),
  ],
)
def test_choices_that_do_not_fit_are_refused_where_they_are_applied(
  tmp_path, content, choices, message
):
  _write_choices(tmp_path, content, choices)
  with pytest.raises(UserError, match=message):
    trained.load(tmp_path)
  assert trained.load(tmp_path, postprocess=False).manner.decision == PLAIN
