"""Exports a trained run: the graph, what a user of the file must know, and a model card."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlseg import __version__
from mlseg.console import Reporter
from mlseg.errors import UserError
from mlseg.files import to_json, write_file
from mlseg.postprocessing.decision import in_words
from mlseg.prediction import export_formats, model_card, trained
from mlseg.prediction.graph import make_graph
from mlseg.prediction.trained import Trained

ONNX, STABLEHLO = "onnx", "stablehlo"
FORMATS = (ONNX, STABLEHLO)
METADATA, CARD, SCRIPT = "model.json", "README.md", "run.py"
_NUM_COMPARED = 3  # images on which the file is compared with the run


class ExportOptions(NamedTuple):
  """The options of the command line."""

  workdir: pathlib.Path  # the folder of the trained run
  out: pathlib.Path  # the folder of the results
  format: str  # one of `FORMATS`
  views: str | None = None  # see `trained.load`
  platforms: Sequence[str] = ("cpu", "cuda", "tpu")  # of StableHLO


def export(options: ExportOptions, reporter: Reporter) -> pathlib.Path:
  """Writes the graph of a run, checks it, and writes its metadata and card.

  Returns:
    The file of the graph.

  Raises:
    UserError: there is no trained run, it cannot be converted, or the folder holds other files.
  """
  run = trained.load(options.workdir, options.views)
  path = options.out / f"model.{options.format}"
  _check_out(options.out, path)
  graph = make_graph(run)
  height, width = run.data.input_shape
  shape = height, width, run.channels
  count = len(run.seeds)
  reporter.print(f"model   {options.workdir}, {count} model{'s' * (count != 1)}, {height}×{width}")
  reporter.print(f"format  {options.format}; converting takes about a minute a model")
  options.out.mkdir(parents=True, exist_ok=True)
  if options.format == ONNX:
    export_formats.write_onnx(graph, shape, path)
    read = export_formats.read_onnx(path)
  else:
    export_formats.write_stablehlo(graph, shape, path, options.platforms)
    read = export_formats.read_stablehlo(path)
  images = np.random.default_rng(0).integers(0, 256, (_NUM_COMPARED, *shape)).astype(np.uint8)
  worst = export_formats.compare(read, graph, images, path)
  metadata = metadata_of(run, export_formats.outputs_of(graph, shape), path.name)
  write_file(options.out / METADATA, to_json(metadata, indent=2) + "\n")
  if options.format == ONNX:
    source = pathlib.Path(__file__).with_name("run_onnx.py")
    write_file(options.out / SCRIPT, source.read_bytes())
  write_file(options.out / CARD, model_card.text(run, options.workdir, metadata))
  reporter.print(f"outputs equal those of the run to {worst:.1e}")
  reporter.print(f"{path}, {path.stat().st_size / 1e6:.1f} MB; with the files beside it")
  return path


def metadata_of(run: Trained, outputs: dict[str, tuple[int, ...]], file: str) -> dict[str, Any]:
  """Returns what a user of the file must know, as `model.json` holds it.

  Args:
    run: that was exported.
    outputs: by name, their shapes behind the batch.
    file: name of the graph's file.
  """
  height, width = run.data.input_shape
  decision, temperatures = run.manner
  filtered = f", then filtered ({run.data.diameter} pixels, bilateral)" if run.data.diameter else ""
  preparation = (
    f"Images are cut into tiles of {height}×{width}, which overlap, and are not resized{filtered}."
    if run.data.patch_size
    else f"Images are resized to {height}×{width} by area averaging{filtered}."
  )
  meanings = {
    "probabilities": f"of the classes {', '.join(run.class_names)} in each pixel",
    "diagnoses": f"of {', '.join(run.label_names)}",
    "findings": f"of {', '.join(run.label_names)}, each by itself; one is predicted above 0.5",
  }
  return {
    "name": run.name,
    "file": file,
    "mlseg": __version__,
    "model": run.digest,
    "classes": list(run.class_names),
    "diagnoses": [] if run.model.has_findings else list(run.label_names),
    "findings": list(run.label_names) if run.model.has_findings else [],
    "seeds": list(run.seeds),
    "views": run.views,
    "temperatures": temperatures._asdict(),
    "input": {
      "name": export_formats.INPUT,
      "shape": ["batch", height, width, run.channels],
      "type": "uint8",
      "range": [0, 255],
      "colours": "grey" if run.channels == 1 else "RGB",
      "preparation": preparation,
      "filter": run.data.filtering if run.data.diameter else None,
    },
    "outputs": {
      name: {"shape": ["batch", *own], "type": "float32", "meaning": meanings[name]}
      for name, own in outputs.items()
    },
    "masks": decision._asdict()
    | {"rule": f"{in_words(decision)}; shares are of the pixels of an image"},
    "spacing": "distances in scores are in pixels of the network's image",
    "citation": "mlseg, a code base for segmentation under several losses; cite the data set too",
  }


def _check_out(out: pathlib.Path, path: pathlib.Path) -> None:
  """Raises a UserError where a folder holds something else than an earlier export."""
  if out.exists() and not out.is_dir():
    raise UserError(f"--out must be a folder, which {out} is not")
  known = {path.name, METADATA, CARD, SCRIPT}
  if out.is_dir() and (others := sorted({own.name for own in out.iterdir()} - known)):
    raise UserError(f"--out: {out} holds other files ({others[0]}); give a new folder")
