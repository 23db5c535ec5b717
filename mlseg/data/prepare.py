"""Writes a data set in the tfds format from its original folder.

    python -m mlseg.data.prepare --dataset=busi --root=DIR --out=DIR [--config=size128]

The embedded default data set was made by this command. The same originals give the same pictures
on every machine, and the same bytes under the same versions of Pillow, OpenCV and array-record.
"""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

import tensorflow_datasets as tfds
from absl import flags
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from mlseg.data.busi import Busi
from mlseg.errors import UserError, unknown

BUILDERS = {"busi": Busi}


def prepare(dataset: str, root: pathlib.Path, out: pathlib.Path, config: str) -> pathlib.Path:
  """Builds a data set and returns the folder of its files.

  It is written beside its place under a temporary name, and renamed when it is whole.

  Args:
    dataset: 'busi'.
    root: the original folder.
    out: where data sets are; the result is `out/DATASET/CONFIG/VERSION`.
    config: of the builder: 'original' or 'size128'.

  Raises:
    UserError: an unknown name, or something wrong with the originals.
  """
  if dataset not in BUILDERS:
    raise unknown("dataset", dataset, BUILDERS)
  builder_class = BUILDERS[dataset]
  if config not in builder_class.builder_configs:
    raise unknown("config", config, builder_class.builder_configs)
  if not root.is_dir():
    raise UserError(f"data folder {root} does not exist")
  try:
    out.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(dir=out, prefix=".preparing-"))
  except OSError as error:
    raise UserError(f"folder {out} cannot be written ({error.strerror})") from error
  try:
    builder = builder_class(data_dir=temporary, config=config, file_format="array_record")
    options = tfds.download.DownloadConfig(manual_dir=root)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(None):  # it speaks of a download, where there is none
      builder.download_and_prepare(download_config=options)
    version = f"{dataset}/{config}/{builder.version}"
    for path in (temporary / version).glob("*.array_record-*"):
      _make_reproducible(path)
    target = out / version
    if target.exists():
      shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary / version, target)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return target


def _make_reproducible(path: pathlib.Path) -> None:
  """Writes a file of records again, the features of each in the order of their names.

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
  out = flags.DEFINE_string("out", None, "Where data sets are.", flag_values=values)
  config = flags.DEFINE_string("config", "original", "Of the builder.", flag_values=values)
  try:
    values(argv)
    if not root.value or not out.value:
      raise UserError("--root and --out are needed: the original folder, and where to write")
    target = prepare(dataset.value, pathlib.Path(root.value), pathlib.Path(out.value), config.value)
  except (UserError, flags.Error) as error:
    print(f"mlseg.data.prepare: {error}", file=sys.stderr)
    return 2
  print(target)
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv))
