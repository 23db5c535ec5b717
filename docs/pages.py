"""Shared by the pages of studies: reading a study's folder, writing and checking the pages."""

import json
import pathlib
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from mlseg import files
from mlseg.recipe import parse
from mlseg.studies import tables as study_files
from mlseg.workdir import metrics_log, run_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTING = "setting.json"


def setting(study_dir: pathlib.Path, keys: Sequence[str]) -> dict:
  """Returns the values that all runs of a study have in common, with their device and versions.

  Args:
    study_dir: the folder that `mlseg.sweep` wrote.
    keys: dotted keys of the config.

  Raises:
    SystemExit: runs differ in a key.
  """
  study = json.loads((study_dir / "study.json").read_text())
  common: dict = {}
  for cell in study["cells"]:
    if cell["complete"]:
      description = run_folder.read(study_dir / cell["name"])
      own = {key: value_of(description.config, key) for key in keys}
      own |= {"device": description.device, "versions": description.versions}
      own = {key: value for key, value in own.items() if value is not None}
      for key, value in own.items():
        if common.setdefault(key, value) != value:
          raise SystemExit(f"{study_dir / cell['name']}: {key} is {value}, not {common[key]}")
  return common


def write_setting(study_dir: pathlib.Path, keys: Sequence[str], to: pathlib.Path) -> None:
  """Writes `setting.json`, the values that all runs of a study have in common, into a folder."""
  files.write_file(to / SETTING, files.to_json(setting(study_dir, keys), indent=1) + "\n")


def complete(folder: pathlib.Path) -> Iterator[tuple[dict[str, str], pathlib.Path]]:
  """Yields the labels and the folder of each complete cell of a study."""
  for cell in json.loads((folder / "study.json").read_text())["cells"]:
    if cell["complete"]:
      yield cell["labels"], folder / cell["name"]


def diverged(folder: pathlib.Path) -> Iterator[tuple[dict[str, str], pathlib.Path]]:
  """Yields the labels and the folder of each cell of a study whose training diverged."""
  for cell in json.loads((folder / "study.json").read_text())["cells"]:
    if not cell["complete"] and (folder / cell["name"] / "failed.json").exists():
      yield cell["labels"], folder / cell["name"]


def log(run: pathlib.Path) -> list[dict]:
  """Returns the records of the `metrics.jsonl` of a run."""
  return metrics_log.read(run)


def comparisons(
  folder: pathlib.Path, study: dict
) -> tuple[dict[pathlib.Path, str], dict[str, list[dict[str, str]]]]:
  """Returns the text of the files of comparisons by path, and their rows by metric.

  Args:
    folder: with the scores by case, `dice.csv` and `accuracy.csv`.
    study: of `study.json`.
  """
  made, tests = {}, {}
  for name, metric in (("dice", "dice"), ("accuracy", "classification_accuracy")):
    scores = files.read_csv(folder / f"{name}.csv")
    rows = study_files.comparison_rows(scores, study["axes"], study["reference"])
    made[folder / f"{name}_comparisons.csv"] = text = files.to_csv(rows)
    tests[metric] = files.parse_csv(text)
  return made, tests


def is_of_first_version(setting: Mapping) -> bool:
  """Returns whether the rows of a study are of version 0.1.0, whose faults its page must tell.

  Args:
    setting: of `setting.json`.
  """
  return setting["versions"]["mlseg"] == "0.1.0"


# Of version 0.1.0, for the pages of studies that have such rows.
LATE_DWA = (
  "dynamic weight average (DWA) decided the weights of an epoch without the epoch that had just"
  " ended, so that they came one epoch later than in its publication"
)


def cores(setting: Mapping) -> str:
  """Returns in words on how many CPU cores a study was trained.

  Args:
    setting: of `setting.json`.
  """
  count = setting["device"].removesuffix(" cpu")
  return "1 CPU core" if count == "1" else f"{count} CPU cores"


def value_of(config: Mapping, key: str) -> object:
  """Returns the value of a dotted key of a config; None where it has no such key."""
  value: object = config
  for part in key.split("."):
    value = value.get(part) if isinstance(value, Mapping) else None
  return value


def recipe(name: str) -> ConfigDict:
  """Returns the recipe of this name in `configs/`."""
  return parse.parse(["", f"--config={ROOT / 'configs' / name}.py"])[0]


def sweep_command(study: str, setting: Mapping, root: str = "") -> str:
  """Returns a block of Markdown with the command that trains a study.

  Args:
    study: name of its file in `configs/studies/`.
    setting: of `setting.json`.
    root: folder of the data, where the command needs it.
  """
  values = {key: value for key, value in setting.items() if key not in ("device", "versions")}
  if root:
    values["data.root"] = root
  flags = (
    f"--config.{key}={tuple(value) if isinstance(value, list) else value}".replace(" ", "")
    for key, value in values.items()
  )
  quoted = " ".join(f"'{flag}'" if "(" in flag else flag for flag in flags)
  return shell_block(f"python -m mlseg.sweep --study=configs/studies/{study}.py {quoted}")


def wrapped(paragraph: str, first: str = "", rest: str = "") -> str:
  """Returns a paragraph in lines of up to 100 characters.

  Args:
    paragraph: its line breaks do not count.
    first: before its first line.
    rest: before the others.
  """
  words = " ".join(paragraph.split())
  return textwrap.fill(
    words, 100, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
  )


def shell_block(command: str) -> str:
  """Returns a block of Markdown with a command, in lines of up to 100 characters."""
  first, *words = command.split()
  lines = [first]
  for word in words:
    if len(f"{lines[-1]} {word}") > 98:
      lines[-1] += " \\"
      lines.append(f"   {word}")
    else:
      lines[-1] += f" {word}"
  return "\n".join(("```sh", *lines, "```", ""))


def write_or_check(made: Mapping[pathlib.Path, str], argv: list[str]) -> int:
  """Writes files, or with --check prints which of them differ; returns the exit code.

  Args:
    made: text of each file by its path.
    argv: the command line.
  """
  if argv[1:] not in ([], ["--check"]):
    print(f"make.py: unknown argument {argv[1]!r}: there is only --check", file=sys.stderr)
    return 2
  if not argv[1:]:
    for path, content in made.items():
      path.write_text(content)
    return 0
  different = [p for p, content in made.items() if not p.exists() or p.read_text() != content]
  for path in different:
    print(f"{path.relative_to(ROOT)} differs from what its rows give", file=sys.stderr)
  return 1 if different else 0
