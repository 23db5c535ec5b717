"""Writes a data set in the tfds format from its original folder.

    python -m mlseg.data.prepare --dataset=busi --root=DIR --out=DIR [--config=size128]

`--dataset` is busi, busc, bus_synthetic, glas, isic_2018, lgg, panda or siim_acr. `--config` is one
of the configs of its tfds builder; the default is the first. The embedded data set was made by this
command. The same originals give the same pictures on every machine, and the same bytes under the
same versions of Pillow, OpenCV and array-record.
"""

import contextlib
import os
import pathlib
import shutil
import sys
import warnings

import tensorflow_datasets as tfds
from absl import flags
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from mlseg.data.datasets.registry import DATASETS
from mlseg.devices import command
from mlseg.errors import UserError, machine_faults, printable, unknown

BUILDERS = {name: dataset.builder for name, dataset in DATASETS.items() if dataset.builder}


def prepare(
  dataset: str, root: pathlib.Path, out: pathlib.Path, config: str | None = None
) -> pathlib.Path:
  """Builds a data set and returns the folder of its files.

  The files are written to a temporary folder, which is renamed when it is complete.

  Args:
    dataset: one of `BUILDERS`.
    root: the original folder.
    out: folder of the results; this one is `out/DATASET/CONFIG/VERSION`.
    config: name of one of the builder's configs; None: the first.

  Raises:
    UserError: an unknown name, or a fault in the originals.
  """
  if dataset not in BUILDERS:
    raise unknown("dataset", dataset, BUILDERS)
  builder_class = BUILDERS[dataset]
  config = config or next(iter(builder_class.builder_configs))
  if config not in builder_class.builder_configs:
    raise unknown("config", config, builder_class.builder_configs)
  if not root.is_dir():
    raise UserError(f"data folder {root} does not exist")
  try:
    if not any(root.iterdir()):
      raise UserError(f"data folder {root} is empty")
  except OSError as error:
    raise UserError(f"data folder {root} cannot be read ({error.strerror})") from error
  try:
    out.mkdir(parents=True, exist_ok=True)
    with command.temporary_folder(out, "preparing") as temporary:
      builder = builder_class(data_dir=temporary, config=config, file_format="array_record")
      options = tfds.download.DownloadConfig(manual_dir=root)
      tfds.disable_progress_bar()
      # tfds prints messages about a download, and libraries that read files warn without names.
      with contextlib.redirect_stdout(None), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder.download_and_prepare(download_config=options)
      version = f"{dataset}/{config}/{builder.version}"
      for path in (temporary / version).glob("*.array_record-*"):
        _make_reproducible(path)
      target = out / version
      if target.exists():
        shutil.rmtree(target)
      target.parent.mkdir(parents=True, exist_ok=True)
      os.replace(temporary / version, target)
  except OSError as error:
    what = f"{error.filename or out}: {error.strerror or error}"
    raise UserError(f"cannot prepare {dataset} ({printable(what)})") from error
  return target


def _make_reproducible(path: pathlib.Path) -> None:
  """Writes a file of records again, with the features of each record in the order of their names.

  tfds leaves that order to protobuf, which changes it from one process to the next.
  """
  rewritten = path.with_name(f".{path.name}")
  reader, writer = ArrayRecordReader(str(path)), ArrayRecordWriter(str(rewritten), "group_size:1")
  for index in range(reader.num_records()):
    example = tf_example_pb2.Example.FromString(reader.read([index])[0])
    writer.write(example.SerializeToString(deterministic=True))
  writer.close()
  reader.close()
  rewritten.replace(path)


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code."""
  values = flags.FlagValues()
  dataset = flags.DEFINE_string("dataset", "busi", "Which data set.", flag_values=values)
  root = flags.DEFINE_string("root", None, "The original folder.", flag_values=values)
  out = flags.DEFINE_string("out", None, "Folder of the results.", flag_values=values)
  config = flags.DEFINE_string("config", None, "Config of the builder.", flag_values=values)
  try:
    values(argv)
    if not root.value or not out.value:
      raise UserError(
        "--root and --out are needed: the original folder, and the folder of the results"
      )
    folders = pathlib.Path(root.value), pathlib.Path(out.value)
    with machine_faults():
      target = prepare(dataset.value, *folders, config.value)
  except (UserError, flags.Error) as error:
    print(f"mlseg.data.prepare: {printable(error)}", file=sys.stderr)
    return 2
  print(target)
  return 0


if __name__ == "__main__":
  command.begin("mlseg.data.prepare", "nothing was written")
  sys.exit(main(sys.argv))
