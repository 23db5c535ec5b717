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
  "a folder": ([f"--config={CONFIGS}"], "configs is no regular file: a recipe is a Python file"),
  "a device": (["--config", "/dev/null"], "/dev/null is no regular file"),
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
  "loss": ([SMOKE, "--config.losses=('dise',)"], "unknown loss 'dise': choose from average_cal"),
  "weighting": ([SMOKE, "--config.weighting.name=best"], "unknown weighting 'best': choose from"),
}

ONLY_WITH_DATA = {
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
