"""Turns the numbers of the JSON file into a page of Markdown."""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def number(value: float | None, digits: int = 3) -> str:
  """Returns a number with a few significant digits, without an exponent; '' for None."""
  if value is None:
    return ""
  text = f"{value:.{digits}g}"
  return f"{float(text):,.0f}".replace(",", " ") if "e" in text else text


def bytes_(value: float | None) -> str:
  """Returns a number of bytes in MB."""
  return "" if value is None else number(value / 1e6)


def span(ratio: list[float] | None) -> str:
  """Returns a median with the quartiles around it."""
  if ratio is None:
    return ""
  low, middle, high = ratio
  return f"**{middle:.2f}** ({low:.2f}–{high:.2f})"


def of(name: str, show: Callable[[Any], str] = str) -> Callable[[Row], str]:
  """Returns a function that formats an entry of a row; '' if the row has none."""
  return lambda row: "" if row.get(name) is None else show(row[name])


SPEED: list[Column] = [
  ("images/s", of("images_per_second", number)),
  ("best", of("best", number)),
]
ONEDNN: list[Column] = [
  ("without TF32 by", of("ratio_exact", span)),
  ("with oneDNN by", of("ratio_onednn", span)),
  ("with bfloat16 by", of("ratio_bfloat16", span)),
]
FRAMEWORKS: list[Column] = [
  ("", of("framework")),
  *SPEED,
  ("mlseg is faster by", of("ratio", span)),
  ("in one program by", of("ratio_many", span)),
  *ONEDNN,
  ("compilation, s", of("compile_seconds", number)),
]
MULTITASK: list[Column] = [
  ("", of("framework")),
  *SPEED,
  ("mlseg is faster by", lambda row: span(row.get("ratio_many", row.get("ratio")))),
  *ONEDNN,
  ("compilation, s", of("compile_seconds", number)),
]
VERSIONS: list[Column] = [
  ("", of("variant")),
  ("images/s", of("images_per_second", number)),
  ("of the other", of("other_per_second", number)),
  ("the other is faster by", of("ratio", span)),
]
COLUMNS: dict[str, list[Column]] = {
  "frameworks": FRAMEWORKS,
  "frameworks_256": FRAMEWORKS,
  "multitask": MULTITASK,
  **dict.fromkeys(("multitask_256", "lite", "lite_256"), MULTITASK),
  "memory": [
    ("", of("variant")),
    ("images/s", of("images_per_second", number)),
    ("arguments, MB", of("argument", bytes_)),
    ("temporary, MB", of("temp", bytes_)),
    ("process, MB", of("resident", bytes_)),
    ("on the device, MB", of("device", bytes_)),
    ("compilation, s", of("compile_seconds", number)),
    ("to the first step, s", of("seconds_to_first_step", number)),
  ],
  "gram": [
    ("", of("variant")),
    ("time of one backward pass", of("ratio", span)),
    ("ms", of("milliseconds", number)),
    ("temporary, MB", of("temp", bytes_)),
    ("process, MB", of("resident", bytes_)),
    ("compilation, s", of("compile_seconds", number)),
  ],
  "scaling": [
    ("varied", of("varied")),
    ("value", of("value", lambda value: f"{value:,}")),
    ("ms a step", of("milliseconds", number)),
    *SPEED,
    ("parameters", of("params", lambda value: f"{value:,}")),
    ("exponent", of("exponent", lambda value: f"**{value:.2f}**")),
  ],
  "seeds": [
    ("strategy", of("strategy")),
    ("models", of("models")),
    ("batch", of("batch")),
    ("time per model and step", of("ratio", span)),
    ("ms", of("milliseconds", number)),
    ("compilation, CPU s", of("compile_cpu_seconds", number)),
  ],
  "correct": [
    ("", of("what")),
    ("compared", of("count")),
    ("largest difference", of("difference", lambda value: f"{value:.1e}")),
    ("of", of("worst")),
    ("allowed", of("tolerance", lambda value: f"{value:.0e}")),
  ],
  "table": [
    ("", of("variant")),
    ("models", of("models")),
    ("s", of("seconds", number)),
    ("s a model", of("per_model", number)),
  ],
  "floor": [
    ("type", of("dtype")),
    ("images/s", of("images_per_second", number)),
    ("ms a step", of("milliseconds", number)),
    ("GFLOP", of("gflop", number)),
    ("GFLOP/s of a matrix product", of("matmul_gflops", number)),
    ("MB moved at least", of("megabytes", number)),
    ("GB/s of a copy", of("copy_gbs", number)),
    ("floor, ms", of("floor_milliseconds", number)),
    ("share of the floor", of("fraction", lambda value: f"{100 * value:.0f} %")),
  ],
  "data": [
    ("", of("variant")),
    ("images", of("images", lambda value: f"{value:,}")),
    ("s", of("seconds", number)),
    ("images/s", of("images_per_second", number)),
    ("of the device's", of("of_device", lambda value: f"**{value:.2f}**")),
    ("gathering beside the steps", of("gathering", lambda value: f"{100 * value:.1f} %")),
    ("gathering alone, images/s", of("gathered_per_second", number)),
    ("process, MB", of("resident", bytes_)),
  ],
  **dict.fromkeys(("versions", "versions_256"), VERSIONS),
  "start": [
    ("", of("variant")),
    ("to the first step, s", of("seconds", number)),
    *((f"{part}, s", of(part, number)) for part in ("tracing", "lowering", "compiling", "reading")),
    ("all, s", of("all_seconds", lambda values: ", ".join(number(v) for v in values))),
  ],
  "sweep": [
    ("", of("variant")),
    ("from start to end, s", of("seconds", number)),
    ("of single commands", of("share", lambda value: f"**{value:.2f}**")),
    ("each, s", of("all_seconds", lambda values: ", ".join(number(v) for v in values))),
  ],
}
TITLES = {
  "correct": "The same numbers as on a CPU",
  "table": "Table 1 of the first paper",
  "frameworks": "The same network in several frameworks",
  "frameworks_256": "The same at 256×256",
  "multitask": "Masks and diagnoses together",
  "multitask_256": "Masks and diagnoses at 256×256",
  "lite": "Masks and diagnoses on EfficientNet-Lite0",
  "lite_256": "Masks and diagnoses on EfficientNet-Lite0 at 256×256",
  "memory": "Memory, compilation and the first step",
  "gram": "Gradients that are compared",
  "scaling": "Scaling",
  "seeds": "Several models at once",
  "floor": "Beside the floor",
  "data": "Many images",
  "versions": "Two versions of JAX",
  "versions_256": "Two versions of JAX at 256×256",
  "start": "Start of the main command",
  "sweep": "Several seeds in one command",
}
NOTES = {
  "correct": "Losses and networks with their gradients, weights over ten steps, and the losses of a"
  " short training, in float32 without TF32; differences are shares of the largest number.",
  "table": "All variants of the recipe with ten seeds each, trained side by side, tested, and"
  " compared; wall time from the start of the command to its end, compilation included.",
  "frameworks": "Blocks of steps of all frameworks alternate in random order. Median and best of"
  " the blocks; ratios are taken within a round: median and quartiles, above 1 mlseg is faster."
  " On a CPU, mlseg has huge pages for its memory, as its command gives them to itself; the others"
  " are measured with their default settings, and with these. Rows of mlseg with oneDNN need the"
  " extra `onednn`; their columns are how much faster these rows are.",
  "multitask": "The recipe `configs/multitask_busi.py` beside the same network, losses and"
  " optimiser in PyTorch on torchvision's MobileNetV2, without augmentation; measured as the table"
  " of frameworks. PyTorch has channels last unless the row says otherwise.",
  "frameworks_256": "As the first table, with fewer rows.",
  **dict.fromkeys(("multitask_256", "lite", "lite_256"), "As the table before, with fewer rows."),
  "memory": "Arguments and temporaries are planned by XLA; that of the process is its peak resident"
  " size.",
  "gram": "Eight losses of the masks, their Gram matrix, weights by `upgrad`, and the gradient of"
  " the weighted sum; beside one backward pass of the plain sum in the same framework. Both contain"
  " the forward pass. Median and quartiles of the ratios within a round. A process counts with its"
  " libraries, at the peak of its resident size.",
  "scaling": "Each row varies one number of the reference; the configurations alternate as above."
  " A step of several models is that of all of them, one after the other in one program; cases are"
  " drawn from a data set in the device's memory. Exponent: e of time = c · value^e, by least"
  " squares of the logarithms.",
  "seeds": "Relative to a Python loop over one compiled step, beside it in the same round: median"
  " and quartiles, below 1 is faster than the loop.",
  "floor": "The floor is the larger of arithmetic at the speed of a large matrix product and of"
  " reading and writing the operands of each convolution once at the speed of a copy.",
  "data": "A folder of grey images and masks as PNG files, most of which are further names of the"
  " same files. Reading contains decoding, checking and writing the cache; of the process, peak"
  " memory. With `data.placement='host'` the batches are gathered on the host while the device"
  " takes steps: the share of the time that this takes is beside the steps, so that the device"
  " waits only where it comes near 100 %.",
  "versions": "Blocks of steps of mlseg under two interpreters alternate in random order, with"
  " batches of 16 images of 128×128; median and quartiles of the ratios within a round. Training is"
  " many steps in one program.",
  "versions_256": "As the table before, with images of 256×256.",
  "start": "Wall time from the start of the process to the line of its first step, median; NAME is"
  " the recipe of the row. Of the run of the median: the time that JAX spent on tracing functions,"
  " lowering them to StableHLO, compiling them, and reading programs that were compiled earlier;"
  " what is left are imports, images, pretrained weights and the step itself.",
  "sweep": "Wall time from the start of a process to its end, compilation, evaluation and figures"
  " included. Each way begins without compiled programs; with one command for each seed, the"
  " commands after the first find the programs of the first.",
}
RUNS = ("run", {"train": "Training step", "evaluate": "Evaluation"})
SPLITS = {
  **dict.fromkeys(
    (
      "frameworks",
      "frameworks_256",
      "multitask",
      "multitask_256",
      "lite",
      "lite_256",
      "versions",
      "versions_256",
    ),
    RUNS,
  ),
  "data": ("run", {"reading": "Reading", "training": "Training"}),
}


def table(columns: list[Column], rows: list[Row]) -> str:
  """Returns a Markdown table; columns that are empty in all rows are left out."""
  shown = [(title, [show(row) for row in rows]) for title, show in columns]
  shown = [(title, cells) for title, cells in shown if any(cells)]
  lines = ["| " + " | ".join(title for title, _ in shown) + " |", "|" + "---|" * len(shown)]
  for index in range(len(rows)):
    lines.append("| " + " | ".join(cells[index] for _, cells in shown) + " |")
  return "\n".join(lines) + "\n"


def section(part: str, measured: Row) -> str:
  """Returns the section of one part."""
  lines = [f"## {TITLES[part]}\n", NOTES[part] + "\n", _conditions(measured) + "\n"]
  key, groups = SPLITS.get(part, ("", {"": ""}))
  for name, title in groups.items():
    rows = [row for row in measured["rows"] if not key or row[key] == name]
    if title:
      lines.append(f"### {title}\n")
    if rows:
      lines.append(table(COLUMNS[part], rows))
  lines += [f"{text}\n" for text in measured.get("remarks", [])]
  for name, reason in measured.get("skipped", {}).items():
    lines.append(f"Not measured: {name} ({reason}).\n")
  return "\n".join(lines)


def _conditions(measured: Row) -> str:
  machine, options = measured["machine"], measured["options"]
  parts = [machine["device"], f"{machine['threads']} threads", f"measured {measured['measured']}"]
  if "rounds" in measured:
    parts.append(f"{options['rounds']} rounds")
  if "problem" in measured:
    problem = measured["problem"]
    network = f"U-Net of depth {problem['depth']} with {problem['filters']} filters"
    parts.append(
      f"{measured.get('network', network)},"
      f" {problem['size']}×{problem['size']}, batch {problem['batch']}"
    )
  if "params" in measured:
    parts.append(f"{measured['params']:,} parameters")
  versions = {**machine["versions"]}
  for facts in measured.get("facts", {}).values():
    versions |= facts.get("versions", {})
  parts.append(", ".join(f"{name} {version}" for name, version in versions.items()))
  return "; ".join(parts) + "."


def page(results: Row) -> str:
  """Returns the whole page."""
  head = "# Speed\n\nWritten by `python benchmarks/speed.py`; the numbers are in the JSON file.\n"
  return "\n".join([head, *(section(part, row) for part, row in results["parts"].items())])
