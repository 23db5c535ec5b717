"""The HTML page about runs, which needs no other file, and its figures."""

import base64
import datetime
import io
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from mlseg.report import cases, outlines, sections
from mlseg.report.drawing import ReportFigure
from mlseg.report.sections import Content
from mlseg.workdir.run_files import RunFiles

MARK = '<meta name="generator" content="mlseg.report">'  # marks a page as a report


class Page(NamedTuple):
  """The page, and the figures that are written beside it."""

  html: str
  figures: tuple[ReportFigure, ...]


def page(content: Content) -> Page:
  """Returns the page about some runs."""
  runs = content.runs
  groups = cases.case_groups(runs)
  parts = sections.sections(content, groups)
  template = _environment().get_template("page.html")
  html = template.render(
    mark=MARK,
    title=f"Report of {len(runs)} run{'s' * (len(runs) > 1)}",
    facts=_facts(runs),
    sections=parts,
    class_colours=outlines.colours,
  )
  figures = [figure for part in parts for figure in part.figures]
  return Page(html, (*figures, *cases.figures(groups)))


def _facts(runs: Sequence[RunFiles]) -> list[tuple[str, str]]:
  """Returns the head of the page: pairs of a word and its value."""
  seeds = sorted({len(run.seeds) for run in runs})
  newest = datetime.datetime.fromtimestamp(max(run.modified for run in runs), datetime.UTC)
  return [
    *_tested_on(runs),
    ("Runs", str(len(runs))),
    ("Seeds per run", " or ".join(map(str, seeds))),
    ("Device", _all(run.about.device for run in runs)),
    ("Versions", _all(_versions(run) for run in runs)),
    ("Newest run", f"{newest:%d %B %Y, %H:%M} UTC"),
  ]


def _tested_on(runs: Sequence[RunFiles]) -> list[tuple[str, str]]:
  """Returns what the runs were trained and tested on."""
  data = [run.config.get("data") or {} for run in runs]
  evaluations = [run.about.evaluation for run in runs]
  if not any(evaluations):
    return [("Data", _all(map(_data_words, data)))]
  trained, tested = [], []
  for own, evaluation in zip(data, evaluations, strict=True):
    trained.append(_data_words(evaluation.trained_on if evaluation else own))
    tested.append(_data_words(own, evaluation.cases if evaluation else ""))
  warnings = [warning for run in runs for warning in run.about.warnings]
  found = [("Trained on", _all(trained)), ("Tested on", _all(tested))]
  return [*found, ("Warnings", _all(warnings))] if warnings else found


def _data_words(data: Mapping[str, Any], cases: str = "") -> str:
  size, patch, split = (data.get(name) for name in ("image_size", "patch_size", "split"))
  words = [str(data.get("name") or "")]
  words += [f"patches of {patch}×{patch}"] if patch else [f"{size}×{size}"] if size else []
  words += [cases] if cases else [f"{split} split"] if split else []
  return ", ".join(filter(None, words))


def _versions(run: RunFiles) -> str:
  return ", ".join(f"{k} {v}" for k, v in run.about.versions.items())


def _all(values: Iterable[str]) -> str:
  return "; or ".join(dict.fromkeys(filter(None, values))) or "not known"


def _environment() -> jinja2.Environment:
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters["svg_address"] = _svg_address
  environment.filters["png_address"] = _png_address
  environment.filters["outlines"] = outlines.paths
  environment.filters["breakable"] = _breakable
  return environment


def _breakable(text: str) -> markupsafe.Markup:
  """Returns a text that may be broken inside names, after `+`, `_`, `/`, `=` and `,`."""
  parts = re.split(r"(?<=[+_/=,])(?=[^\W\d])", text)
  return markupsafe.Markup("<wbr>").join(parts)  # join escapes the parts


def _svg_address(svg: bytes) -> str:
  return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _png_address(image: np.ndarray) -> str:
  """Returns an image [H, W, 1 or 3] uint8 as the data URL of a PNG."""
  buffer = io.BytesIO()
  Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
  return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
