"""Wrong use gets one clear line and exit code 2, and changes nothing."""

import pathlib

import pytest

from mlseg import main
from mlseg.data import cases
from mlseg.recipe import parse

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
SMOKE = f"--config={CONFIGS / 'smoke.py'}"
DMF = f"--config={CONFIGS / 'dmf_busi.py'}"

WRONG = {
  "no config": ([], "--config is missing"),
  "missing file": (["--config=nowhere.py"], "No such file"),
  "unknown variant": ([f"{DMF}:median"], "unknown variant 'median': choose from variance+tversky"),
  "unknown key": ([SMOKE, "--config.nmu_seeds=2"], 'Did you mean "num_seeds"'),
  "unknown section": (
    [SMOKE, "--config.weighting.options.zzz.c=1"],
    "unknown config key 'zzz'",
  ),
  "unknown nested key": ([SMOKE, "--config.data.zzz=2"], "unknown config key 'zzz'"),
  "wrong type": ([SMOKE, "--config.num_epochs=2.5"], "config.num_epochs"),
  "unknown flag": ([SMOKE, "--wrkdir=x"], "wrkdir"),
  "stray argument": ([SMOKE, "fast"], "unexpected argument 'fast'"),
  "range": ([SMOKE, "--config.num_epochs=0"], "config.num_epochs must be at least 1, not 0"),
  "loss": ([SMOKE, "--config.losses=('dise',)"], "unknown loss 'dise': choose from binary_cr"),
  "auxiliary": ([SMOKE, "--config.auxiliary.name=dise"], "unknown loss 'dise': choose from"),
  "loss option": ([SMOKE, "--config.loss_options.class_balanced_dice.class_weights=x"], "'x'"),
  "weighting": ([SMOKE, "--config.weighting.name=best"], "unknown weighting 'best': choose from"),
  "statistic": (
    [SMOKE, "--config.weighting.options.dynamic_memory_fusion.statistic=mode"],
    "config.weighting: statistic: choose from variance, mad, bayesian; got 'mode'",
  ),
  "prior": ([SMOKE, "--config.weighting.prior=(1.0,)"], "one weight per entry of config.losses"),
  "cadence": ([SMOKE, "--config.weighting.every=0"], "config.weighting: steps: must be an integer"),
  "gram": ([SMOKE, "--config.weighting.gram_at=features"], "gram_at: choose from logits, params"),
  "parts": ([SMOKE, "--config.num_microbatches=3"], "must divide config.batch_size, not 3"),
  "fixed weights": (
    [SMOKE, "--config.weighting.name=fixed", "--config.weighting.fixed=(1.0,)"],
    "one weight per entry of config.losses, not (1.0,)",
  ),
  "split": ([SMOKE, "--config.data.split=rnd"], "unknown split 'rnd': choose from"),
  "model": (
    [SMOKE, "--config.model.name=vnet"],
    "unknown model 'vnet': choose from attention_unet",
  ),
  "norm": ([SMOKE, "--config.model.norm=layer"], "'layer': choose from batch"),
  "image size": ([SMOKE, "--config.data.image_size=30"], "must be a multiple of 4"),
  "optimizer": ([SMOKE, "--config.optimizer.name=lion"], "unknown optimizer 'lion': choose from"),
  "decay": ([SMOKE, "--config.optimizer.weight_decay=0.1"], "weight_decay"),
  "spacing": (
    [SMOKE, "--config.metrics.spacing=(1.0, 0.0)"],
    "config.metrics.spacing must be two positive numbers, not (1.0, 0.0)",
  ),
  "tolerance": ([SMOKE, "--config.metrics.tolerance=-1.0"], "config.metrics.tolerance must not be"),
  "rotation": ([SMOKE, "--config.augmentation.flip_vertical=2.0"], "flip_vertical"),
}

ONLY_WITH_DATA = {
  "data set": ([SMOKE, "--config.data.name=bussi"], "unknown dataset 'bussi': choose from bus_s"),
  "data folder": ([SMOKE, "--config.data.root=nowhere"], "nowhere"),
  "batch": (
    [SMOKE, "--config.batch_size=512"],
    "batch_size 512 is larger than the training set of",
  ),
  "too large": ([SMOKE, "--config.data.image_size=256"], "--config.data.root"),
}


@pytest.fixture
def error(tmp_path, monkeypatch, capfd):
  """Returns a function that returns what the command prints about a wrong use."""

  def run(arguments):
    monkeypatch.chdir(tmp_path)
    assert main.main(["mlseg.main", "--workdir=run", *arguments]) == 2
    assert not (tmp_path / "run").exists()
    printed = capfd.readouterr().err
    assert printed.startswith("mlseg: ")
    assert printed.count("\n") == 1, printed
    return printed

  return run


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_gets_one_line_and_code_2_before_the_data_are_read(case, error, monkeypatch):
  def load(*args, **kwargs):
    pytest.fail("the data are read")

  monkeypatch.setattr(cases, "load", load)
  arguments, expected = WRONG[case]
  assert expected in error(arguments)


@pytest.mark.parametrize("case", ONLY_WITH_DATA)
def test_what_only_the_data_show_gets_one_line_and_code_2(case, error):
  arguments, expected = ONLY_WITH_DATA[case]
  assert expected in error(arguments)


def test_help_shows_the_flags(capsys):
  with pytest.raises(SystemExit) as info:
    main.main(["mlseg.main", "--help"])
  assert info.value.code == 0
  assert "--workdir" in capsys.readouterr().out


def test_the_default_folder_depends_on_the_config_alone():
  _, first = parse.parse(["x", f"{DMF}:mad+none"])
  _, again = parse.parse(["x", f"{DMF}:mad+none"])
  _, other = parse.parse(["x", f"{DMF}:mad+none", "--config.seed=1"])
  assert first == again != other
  assert first.as_posix().startswith("runs/dmf_busi-mad+none-")
