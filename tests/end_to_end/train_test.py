"""The main command end to end: its files, kills at any moment, signals, divergence, host waits."""

import csv
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import main, models
from mlseg.console import Reporter
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.report import plots
from mlseg.training import train
from mlseg.training.checkpoint import flatten

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = f"--config={ROOT / 'configs' / 'smoke.py'}"
EPOCHS = 12
LONG = [SMOKE, f"--config.num_epochs={EPOCHS}", "--config.data.image_size=16"]


def _config(*overrides):
  return parse.parse(["mlseg.main", SMOKE, *overrides])[0]


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
  """Keeps what was compiled, since most of these tests train the same programs."""
  folder = str(tmp_path_factory.mktemp("compiled"))
  options = {"jax_compilation_cache_dir": folder, "jax_persistent_cache_min_compile_time_secs": 0.0}
  old = {name: getattr(jax.config, name) for name in options}
  for name, value in options.items():
    jax.config.update(name, value)
  yield {name.upper(): str(value) for name, value in options.items()}
  for name, value in old.items():
    jax.config.update(name, value)


def _start(workdir, compiled):
  command = [sys.executable, "-m", "mlseg.main", f"--workdir={workdir}", *LONG]
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env=os.environ | compiled,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _run(workdir, compiled):
  process = _start(workdir, compiled)
  output = process.communicate(timeout=300)[0]
  assert process.returncode == 0, output
  return output


def _final(workdir, seed=0):
  """Returns the arrays of the last checkpoint by name."""
  import orbax.checkpoint as ocp

  manager = ocp.CheckpointManager(workdir.resolve() / "checkpoints" / f"seed_{seed}")
  step = manager.latest_step()
  args = ocp.args.Composite(state=ocp.args.StandardRestore())
  arrays = manager.restore(step, args=args)["state"]
  manager.close()
  return step, {name: np.asarray(value) for name, value in arrays.items()}


def _steps(workdir):
  """Returns the logged steps, in order; a line that a kill cut is left out."""
  file = workdir / "metrics.jsonl"
  lines = file.read_text().splitlines(keepends=True) if file.exists() else []
  return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def _wait_for(condition, process, seconds=120):
  end = time.monotonic() + seconds
  while not condition():
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() < end
    time.sleep(0.0005)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, compiled):
  """A run that nobody disturbed."""
  workdir = tmp_path_factory.mktemp("unbroken")
  return workdir, _run(workdir, compiled)


def test_a_run_leaves_the_files_of_the_layout(unbroken):
  workdir, output = unbroken
  for part in ("lesion", "data", "device", "parameters", "images/s", "validation dice"):
    assert part in output
  results = json.loads((workdir / "results.json").read_text())
  assert results["split"] == "test"
  assert results["seeds"] == [0]
  assert results["config"]["num_epochs"] == EPOCHS
  dice = results["metrics"]["dice"]
  assert dice["mean"] == dice["per_seed"][0]
  assert dice["std"] is None
  description = json.loads((workdir / "config.json").read_text())
  assert {"config", "versions", "device", "data"} <= description.keys()
  for name in ("losses", "weights", "predictions"):
    assert (workdir / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
  records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  names = {"cross_entropy", "soft_iou", "soft_dice", "class_balanced_dice"}
  assert all(r["losses"].keys() == r["weights"].keys() == names for r in records)
  assert [r["epoch"] for r in records if "validation" in r] == list(range(1, EPOCHS + 1))


def test_the_rows_of_the_cases_give_the_summary(unbroken):
  workdir, _ = unbroken
  with (workdir / "cases.csv").open() as file:
    rows = list(csv.DictReader(file))
  split = json.loads((workdir / "split.json").read_text())["seeds"]["0"]
  assert [row["id"] for row in rows[::2]] == split["test"]
  lesion = [float(row["dice"]) for row in rows if row["class"] == "lesion"]
  results = json.loads((workdir / "results.json").read_text())
  assert np.mean(lesion) == pytest.approx(results["metrics"]["dice"]["mean"], abs=1e-5)
  size = results["config"]["data"]["image_size"]
  for row in rows:  # the counts are of all pixels, and every ratio follows from them
    tp, fp, fn, tn = (int(row[name]) for name in ("tp", "fp", "fn", "tn"))
    assert tp + fp + fn + tn == size**2
    assert float(row["dice"]) == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-6)
  for name in ("hausdorff", "hausdorff95", "average_symmetric_surface_distance"):
    values = [float(row[name]) for row in rows if row["class"] == "lesion"]
    assert 0 <= min(values) <= max(values) <= size * 2**0.5 + 1e-4
    assert np.mean(values) == pytest.approx(results["metrics"][name]["mean"], rel=1e-5)
  parts = [set(split[name]) for name in ("train", "validation", "test")]
  assert sum(map(len, parts)) == len(set.union(*parts)) == 647


def test_a_finished_run_is_only_read_again(unbroken, compiled):
  workdir, _ = unbroken
  before = (workdir / "results.json").read_text(), (workdir / "metrics.jsonl").read_text()
  output = _run(workdir, compiled)
  assert "validation dice" not in output
  assert "lesion" in output
  assert before == (
    (workdir / "results.json").read_text(),
    (workdir / "metrics.jsonl").read_text(),
  )


def test_training_lowers_every_loss(unbroken):
  workdir, _ = unbroken
  records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  for name, last in records[-1]["losses"].items():
    assert last < records[0]["losses"][name]


def test_killed_three_times_the_run_ends_bitwise_equal(unbroken, compiled, tmp_path):
  workdir = tmp_path / "run"
  random_moment = random.Random(os.getpid())

  def saving():
    return any((workdir / "checkpoints").rglob("*orbax-checkpoint-tmp*"))

  # While a checkpoint is written: the temporary folder that stays behind tells that it was cut in
  # the middle. A save that was faster than the kill does not count, and the next one is tried.
  for _ in range(5):
    process = _start(workdir, compiled)
    _wait_for(saving, process)
    process.kill()
    process.communicate()
    if saving():
      break
  assert saving()
  # Then twice at a moment that nobody chose.
  for _ in range(2):
    reached = max(_steps(workdir), default=0)
    process = _start(workdir, compiled)
    _wait_for(lambda reached=reached: max(_steps(workdir), default=0) > reached, process)
    time.sleep(random_moment.uniform(0, 0.2))
    process.kill()
    process.communicate()
  _run(workdir, compiled)
  step, arrays = _final(workdir)
  expected_step, expected = _final(unbroken[0])
  assert step == expected_step
  assert arrays.keys() == expected.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, expected[name], err_msg=name)
  assert _steps(workdir) == _steps(unbroken[0])
  assert (workdir / "cases.csv").read_text() == (unbroken[0] / "cases.csv").read_text()


def test_signals_save_and_the_run_goes_on_bitwise(unbroken, compiled, tmp_path):
  stopped_at = 0
  for signum, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
    process = _start(tmp_path, compiled)
    _wait_for(lambda last=stopped_at: max(_steps(tmp_path), default=0) > last + 2, process)
    process.send_signal(signum)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert "saved at step" in output
    assert "Traceback" not in output
    assert (f"goes on from step {stopped_at} of" in output) == (stopped_at > 0)
    stopped_at = _steps(tmp_path)[-1]
    assert _final(tmp_path)[0] == stopped_at
  output = _run(tmp_path, compiled)
  assert f"goes on from step {stopped_at} of" in output
  for name, array in _final(tmp_path)[1].items():
    np.testing.assert_array_equal(array, _final(unbroken[0])[1][name], err_msg=name)


def test_a_damaged_checkpoint_is_said_and_training_goes_on(unbroken, compiled, tmp_path):
  process = _start(tmp_path, compiled)
  folder = tmp_path / "checkpoints" / "seed_0"
  _wait_for(lambda: len([p for p in folder.glob("*") if p.name.isdigit()]) == 2, process)
  process.kill()
  process.communicate()
  newest = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
  for file in newest.rglob("*"):
    if file.is_file():
      file.write_bytes(file.read_bytes()[:-1])
  output = _run(tmp_path, {})  # compiled anew, as on another machine
  assert f"checkpoint of step {newest.name}" in output
  assert "is damaged" in output
  for name, array in _final(tmp_path)[1].items():
    np.testing.assert_array_equal(array, _final(unbroken[0])[1][name], err_msg=name)


def test_seeds_train_one_after_another_and_are_summed_up(tmp_path):
  # The weights of the classes are those of each seed's own training set.
  overrides = ["--config.data.image_size=16", "--config.losses=('weighted_cross_entropy',)"]
  config = _config("--config.num_seeds=2", *overrides)
  results = train.train(experiment.read(config), tmp_path, Reporter())
  dice = results["metrics"]["dice"]
  assert results["seeds"] == [0, 1]
  assert len(set(dice["per_seed"])) == 2
  assert dice["std"] == pytest.approx(np.std(dice["per_seed"], ddof=1))
  tests = json.loads((tmp_path / "split.json").read_text())["seeds"]
  assert tests["0"]["test"] != tests["1"]["test"]
  # A seed's run does not depend on those beside it.
  alone = train.train(
    experiment.read(_config("--config.seed=1", *overrides)), tmp_path / "alone", Reporter()
  )
  assert alone["metrics"]["dice"]["per_seed"] == dice["per_seed"][1:]


def test_a_class_that_a_later_seed_never_sees_is_said_before_anything_is_written(
  tmp_path, monkeypatch
):
  load_cases, make_split = recipe_data.load_cases, recipe_data.make_split
  blank = np.arange(40)

  def cases(recipe, wanted):
    found = load_cases(recipe, wanted)
    found.masks[blank] = 0
    return found

  def split(recipe, batch_size, cases, duplicates, seed):
    found = make_split(recipe, batch_size, cases, duplicates, seed)
    return found._replace(train=np.resize(blank, len(found.train))) if seed == 1 else found

  monkeypatch.setattr(recipe_data, "load_cases", cases)
  monkeypatch.setattr(recipe_data, "make_split", split)
  config = _config("--config.num_seeds=2", "--config.losses=('weighted_cross_entropy',)")
  with pytest.raises(UserError, match="weighted_cross_entropy: counts"):
    train.train(experiment.read(config), tmp_path / "run", Reporter())
  assert not (tmp_path / "run").exists()


def test_the_options_beside_the_recipe_train_too(tmp_path):
  options = {
    "data.image_size": 16,
    "num_epochs": 1,
    "model.norm": "group",
    "model.filters": 8,
    "model.convs_per_level": 2,
    "model.upsampling": "resize",
    "model.dtype": "bfloat16",
    "metrics.surface": False,
    "optimizer.name": "adamw",
    "optimizer.schedule": "cosine",
    "optimizer.weight_decay": 1e-4,
    "optimizer.clip_norm": 1.0,
    "weighting.options.dynamic_memory_fusion.statistic": "bayesian",
    "weighting.options.dynamic_memory_fusion.forgetting": 0.1,
    "weighting.ema": 0.9,
    "weighting.lower": 0.1,
    "auxiliary.name": "focal",
    "augmentation.flip_horizontal": 0.5,
    "augmentation.rotation": 10.0,
    "augmentation.elastic": 0.5,
    "augmentation.contrast": 0.2,
    "data.split": "random",
    "data.resplit": False,
  }
  config = _config(*(f"--config.{name}={value}" for name, value in options.items()))
  train.train(experiment.read(config), tmp_path, Reporter())
  records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert records[-1]["nonfinite"] == 0
  weights = records[-1]["weights"]
  base = [weights[name] for name in config.losses]
  assert sum(base) == pytest.approx(1.0, abs=1e-5)
  assert min(base) >= 0.1 - 1e-6
  assert weights["focal"] < 5.0


def test_the_boundary_loss_trains_on_prepared_maps_in_parts_of_a_batch(tmp_path):
  options = {
    "data.image_size": 16,
    "num_microbatches": 2,
    "losses": ("soft_dice", "boundary"),
    "weighting.name": "fixed",
    "weighting.fixed": (1.0, 0.1),
    "augmentation.flip_vertical": 0.5,
  }
  config = _config(*(f"--config.{name}={value}" for name, value in options.items()))
  train.train(experiment.read(config), tmp_path, Reporter())
  records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert records[-1]["nonfinite"] == 0
  for name in ("soft_dice", "boundary"):
    assert records[-1]["losses"][name] < records[0]["losses"][name]


@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_a_method_that_compares_gradients_trains_in_parts_of_a_batch(tmp_path, gram_at):
  options = {
    "data.image_size": 16,
    "num_epochs": 1,
    "num_microbatches": 2,
    "weighting.name": "cagrad",
    "weighting.gram_at": gram_at,
    "weighting.every": 2,
    "weighting.warm_up": 3,
    "weighting.prior": (5.0, 1.0, 1.0),
  }
  config = _config(*(f"--config.{name}={value}" for name, value in options.items()))
  train.train(experiment.read(config), tmp_path, Reporter())
  records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert records[-1]["nonfinite"] == 0
  ratios = [record["weights"]["soft_dice"] / record["weights"]["soft_iou"] for record in records]
  assert ratios[0] == pytest.approx(1.0)
  assert ratios[-1] != pytest.approx(1.0, rel=1e-3)


def test_a_folder_of_another_config_is_refused_untouched(unbroken):
  workdir, _ = unbroken
  before = (workdir / "config.json").read_text()
  with pytest.raises(UserError, match="belongs to another config"):
    train.train(experiment.read(_config()), workdir, Reporter())
  assert (workdir / "config.json").read_text() == before


def test_divergence_ends_with_the_name_of_the_loss(tmp_path, capfd):
  code = main.main(
    [
      "mlseg.main",
      SMOKE,
      f"--workdir={tmp_path}",
      "--config.num_epochs=4",
      "--config.data.image_size=16",
      "--config.optimizer.name=sgd",
      "--config.optimizer.learning_rate=1e38",
      "--config.max_nonfinite=4",
    ]
  )
  error = capfd.readouterr().err
  assert code == 1
  assert "cross_entropy" in error
  assert "steps in a row" in error
  assert error.count("\n") == 1


def test_early_stopping_ends_after_patience_and_keeps_the_best(tmp_path):
  overrides = ["--config.optimizer.learning_rate=1e-30", "--config.patience=2"]
  config = _config("--config.data.image_size=16", "--config.num_epochs=9", *overrides)
  train.train(experiment.read(config), tmp_path, Reporter())
  records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  scores = [r["validation"]["dice"] for r in records if "validation" in r]
  best = int(np.argmax(scores))
  assert len(scores) == best + 1 + 2 < 9
  again = train.train(
    experiment.read(config), tmp_path, Reporter()
  )  # it does not start again either
  assert again["seeds"] == [0]
  assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(records)


def test_the_host_waits_once_per_log_step(tmp_path, monkeypatch):
  array = type(jnp.ones(()))
  waits = []
  inside = []
  get = jax.device_get

  def device_get(tree):
    waits.append("device_get")
    inside.append(1)
    try:
      return get(tree)
    finally:
      inside.pop()

  def counted(name, original):
    def wait(self, *args, **kwargs):
      if not inside:
        waits.append(name)
      return original(self, *args, **kwargs)

    return wait

  monkeypatch.setattr(jax, "device_get", device_get)
  for name in ("__array__", "__float__", "__int__", "__bool__", "__index__", "block_until_ready"):
    monkeypatch.setattr(array, name, counted(name, getattr(array, name)))
  counts, logged = {}, {}
  for epochs in (1, 3):
    waits.clear()
    config = _config("--config.data.image_size=16", f"--config.num_epochs={epochs}")
    train.train(experiment.read(config), tmp_path / str(epochs), Reporter())
    counts[epochs] = len(waits)
    logged[epochs] = len((tmp_path / str(epochs) / "metrics.jsonl").read_text().splitlines())
  assert counts[3] - counts[1] <= logged[3] - logged[1]


def test_nothing_is_traced_again_while_training(tmp_path, monkeypatch):
  from_linen, traces = models.from_linen, []

  def counting(module):
    model = from_linen(module)

    def apply(*args):
      traces.append(args)
      return model.apply(*args)

    return model._replace(apply=apply)

  monkeypatch.setattr(models, "from_linen", counting)
  counts = {}
  for epochs in (1, 3):
    traces.clear()
    config = _config("--config.data.image_size=16", f"--config.num_epochs={epochs}")
    train.train(experiment.read(config), tmp_path / str(epochs), Reporter(quiet=True))
    counts[epochs] = len(traces)
  assert counts[3] == counts[1] > 0


def test_figures_draw_a_run_with_gaps_and_several_seeds(tmp_path):
  with (tmp_path / "metrics.jsonl").open("w") as file:
    for seed in (0, 1):
      for epoch, loss in ((0.5, 1.0), (1.0, None)):
        record = {
          "seed": seed,
          "step": 1,
          "epoch": epoch,
          "losses": {"a": loss},
          "weights": {"a": 1},
        }
        file.write(json.dumps(record) + "\n")
  np.savez(
    tmp_path / "examples.npz",
    images=np.zeros((1, 8, 8, 1), np.uint8),
    masks=np.zeros((1, 8, 8), np.uint8),
    predictions=np.ones((1, 8, 8), np.uint8),
    ids=np.array(["case 1"]),
    dice=np.array([0.0]),
  )
  files = plots.plot_run(tmp_path)
  assert [f.name for f in files] == ["losses.png", "weights.png", "predictions.png"]
  assert all(f.stat().st_size > 5000 for f in files)


def test_flatten_names_every_array_of_a_state():
  names = flatten({"a": [jnp.ones(2), jax.random.key(0)], "b": {"c": jnp.int32(1)}})
  assert list(names) == ["a.0", "a.1", "b.c"]
  assert names["a.1"].dtype == jnp.uint32
