"""Writes a data set in the tfds format from its original folder.

    python -m mlseg.data.prepare --dataset=busi --root=DIR --out=DIR [--config=size128]

`--dataset` is busi, busc, bus_synthetic, glas, isic_2018, lgg, panda or siim_acr; `--config` is one
of its builder's configs, the first without it. The embedded default data set was made by this
command. The same originals give the same pictures on every machine, and the same bytes under the
same versions of Pillow, OpenCV and array-record.
"""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import flags
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from mlseg.data.datasets import (
  bus_synthetic,
  busc,
  busi,
  glas,
  isic_2018,
  lgg,
  paired,
  panda,
  siim_acr,
  sources,
)
from mlseg.errors import UserError, unknown


class Dataset(NamedTuple):
  """A data set with a builder, whose pictures are read from what it wrote."""

  builder: type[tfds.core.GeneratorBasedBuilder]
  find_cases: Callable[[pathlib.Path], paired.Cases]  # per label and case the picture and its masks
  labels: tuple[str, ...]  # of the cases to train on: splits of the builder, where they are there
  download: str  # what the original folder is, in words


DATASETS = {
  "busi": Dataset(busi.Busi, busi.find_cases, busi.LABELS[:2], f"original {busi.FOLDER}"),
  "busc": Dataset(busc.Busc, busc.find_cases, busc.LABELS, "unpacked download of BUSC"),
  "bus_synthetic": Dataset(
    bus_synthetic.BusSynthetic,
    bus_synthetic.find_cases,
    bus_synthetic.LABELS,
    "unpacked download of BUS synthetic",
  ),
}


class SourceDataset(NamedTuple):
  """A data set with a builder, whose pictures are read from the originals, one by one."""

  builder: type[tfds.core.GeneratorBasedBuilder]
  open: Callable[[pathlib.Path, Any], sources.Source]  # of a folder and options
  options: Callable[[], Any]  # the defaults; with arguments, others
  download: str  # what the original folder is, in words


SOURCES = {
  "glas": SourceDataset(glas.Glas, glas.open_source, glas.Options, f"folder {glas.FOLDER}"),
  "isic_2018": SourceDataset(
    isic_2018.Isic2018, isic_2018.open_source, isic_2018.Options, "folders of ISIC 2018"
  ),
  "lgg": SourceDataset(lgg.Lgg, lgg.open_source, lgg.Options, f"folder {lgg.FOLDER} of TCGA-LGG"),
  "panda": SourceDataset(
    panda.Panda,
    panda.open_source,
    panda.Options,
    f"folder with {', '.join(panda.FOLDERS)} and {panda.TABLE}",
  ),
  "siim_acr": SourceDataset(
    siim_acr.SiimAcr,
    siim_acr.open_source,
    siim_acr.Options,
    f"folder with {siim_acr.FOLDER} and {siim_acr.TABLE}",
  ),
}
BUILDERS: dict[str, Dataset | SourceDataset] = {**DATASETS, **SOURCES}


def prepare(
  dataset: str, root: pathlib.Path, out: pathlib.Path, config: str | None = None
) -> pathlib.Path:
  """Builds a data set and returns the folder of its files.

  It is written beside its place under a temporary name, and renamed when it is whole.

  Args:
    dataset: one of `BUILDERS`.
    root: the original folder.
    out: where data sets are; the result is `out/DATASET/CONFIG/VERSION`.
    config: of the builder; None: its first.

  Raises:
    UserError: an unknown name, or something wrong with the originals.
  """
  if dataset not in BUILDERS:
    raise unknown("dataset", dataset, BUILDERS)
  builder_class = BUILDERS[dataset].builder
  config = config or next(iter(builder_class.builder_configs))
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
  config = flags.DEFINE_string("config", None, "Of the builder.", flag_values=values)
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
