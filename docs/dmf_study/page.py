"""The text of `docs/dmf_study.md`, every number of it from the rows."""

import math
import pathlib

import converged
from findings import DEMO, Study, percent
from pages import LATE_DWA, cores, is_of_first_version, recipe, sweep_command, wrapped

from mlseg.report.tables import Table, TableCell, to_markdown

_POOLED = "dice_with_background_pooled"
_PAPERS_BEST = "variance+class_balanced_dice"
_STEPS = 14  # of an epoch: 451 training images in batches of 32, the rest left out
_FIGURES = pathlib.Path(__file__).with_name("figures")


def text(study: Study, whole: converged.Converged | None) -> str:
  """Returns the page; `whole` has the rows that were trained until they converged, if any."""
  findings = (_weighting, _level, _leaks, _parts, _gradients, _others, _faults)
  bullets = "\n".join(wrapped(one, "- ", "  ") for finding in findings if (one := finding(study)))
  methods = list(dict.fromkeys([*study.methods(split="grouped"), *study.methods(split="random")]))
  table = to_markdown(_table(study, methods, with_tests=True))
  title = "# The Dynamic Memory Fusion study\n\n"
  first = f"{converged.text(whole)}\n## All rows, at a smaller size\n\n" if whole else ""
  return f"{title}{first}{_head(study)}\n{bullets}\n\n{_figures()}{table}\n{_NOTE}"


_NOTE = """\
Dice in percent, mean ± standard deviation over seeds. Lesion: the Dice of the lesion in each image,
then the mean over images. As the paper counts: the mean of lesion and background, from the pixels
of all test images together. Δ: the difference over groups of near-duplicate test images, with its
95 % interval, which is not corrected for the number of methods; p by Wilcoxon's signed-rank test
over these groups, after Holm's correction. Interval and p take the trained models as given: they do
not tell what other seeds would change. Bold: the best of a column, where the 95 % interval of its
difference to the next best, by Student's t over the seeds, does not contain 0.
"""


def _figures() -> str:
  """Returns figures 4 and 5 of the paper, for its best row, where a report has left them."""
  made = ""
  for kind in ("weights", "losses"):
    for path in sorted(_FIGURES.glob(f"{kind}-*-grouped-{_PAPERS_BEST.replace('+', '-')}.png")):
      made += f"![The {kind} of {_PAPERS_BEST} over training](dmf_study/figures/{path.name})\n\n"
  return made


def _head(study: Study) -> str:
  count, seeds, setting = study.num_models(), study.num_seeds(), study.setting
  size, filters = setting["data.image_size"], setting["model.filters"]
  whole = recipe("dmf_busi")
  side = whole.data.image_size
  text = f"""\
    {count} models on BUSI: the thirteen configurations of the paper (Golnari & Diba 2026), other
    weightings, and the paper's losses as the authors' demo computes them. Each is trained under
    {seeds} seeds, on a split that keeps near-duplicates together (grouped) and on the paper's
    (random). There was no GPU, only {cores(setting)}, so the models
    are smaller than those of the recipe: images of {size}×{size} and {filters} filters instead of
    {side}×{side} and {whole.model.filters}, trained for {setting["num_epochs"]} epochs. The
    recipe's own row, {_PAPERS_BEST}, shows what the size costs: at full size it has
    {study.at_full_size[0]} % (lesion) and {study.at_full_size[1]} % (mean with the background),
    and here {study.score(_PAPERS_BEST, "dice", split="grouped")} % and
    {study.score(_PAPERS_BEST, "dice_with_background", split="grouped")} %."""
  links = f"""\
    `python docs/dmf_study/make.py` computes this page from the [rows](dmf_study). There are
    [all tables](dmf_study/tables.md), and [figures](dmf_study/figures) of the report that version
    {setting["versions"]["mlseg"]} made: predictions, learning curves, and cases side by side."""
  command = sweep_command("dmf_busi", setting, "DIR/Dataset_BUSI_with_GT")
  return f"{wrapped(text)}\n\n{command}\n{wrapped(links)}\n"


def _level(study: Study) -> str:
  theirs = [row["dice"]["mean"] for row in study.published.values()]
  random, grouped = (
    study.spread(split, study.paper(split), _POOLED) for split in ("random", "grouped")
  )
  names = ("dice", "dice_pooled", "dice_with_background", _POOLED)
  same = [percent(study.mean(_PAPERS_BEST, name, split="random")) for name in names]
  training = study.on_training("random", study.paper("random"), _POOLED)
  return f"""\
**Level.** The paper's rows have {min(theirs):.1f} to {max(theirs):.1f} % Dice. Ours, counted in the
  same way, have {percent(random.lowest)} to {percent(random.highest)} % on the random split and
  {percent(grouped.lowest)} to {percent(grouped.highest)} % on the grouped one. How Dice is counted
  changes it: the same predictions of {_PAPERS_BEST} have {same[0]} % on the lesion, {same[1]} % on
  the lesion from the pixels of all images together, {same[2]} % as the mean of lesion and
  background, and {same[3]} % as that mean from all pixels, which is the paper's way. On the images
  that they were trained on, our models have {percent(training)} % in the paper's way."""


def _weighting(study: Study) -> str:
  rows = [name for name in study.paper("grouped") if name != "fixed"]
  better, worse = study.significant("grouped", rows, "p_cases_holm")
  known = [name for name in study.paper("random") if name != "fixed"]
  naive = study.significant("random", known, "p_cases_holm")
  best = max(rows, key=study.change)
  correlations = [study.rank_correlation(split, _POOLED, "dice") for split in ("random", "grouped")]
  rho = " and ".join(f"{value:+.2f} (p {p:.2f})" for value, p in correlations)
  least = study.least_p("grouped")
  over_seeds = (
    f"no method differs significantly from equal weights (the least p after Holm is {least:.2g})"
    if least >= 0.05
    else f"the least p of a difference to equal weights is {least:.2g} after Holm"
  )
  papers = ", which is the paper's best too"
  if best != _PAPERS_BEST:
    papers = f" ({_PAPERS_BEST}, the paper's best, has {_against_fixed(study, _PAPERS_BEST)})"
  return f"""\
**Does the weighting help, where Dice and IoU have gradients?** The reference is equal weights of
  soft losses. Over {study.num_seeds()} seeds on the grouped split {over_seeds}. Over the test
  images, with the trained models as given, {better} of the paper's twelve other rows
  {"is" if better == 1 else "are"} better at 5 % after Holm and {worse} worse; on the random split
  {naive[0]} and {naive[1]}. The largest difference in the Dice of the lesion is that of
  {best}{papers}: {_against_fixed(study, best)}. The paper's best row is {_papers_gain(study):+.1f}
  points above its equal weights. Spearman's correlation of our rows with the paper's is {rho} on
  the random and the grouped split."""


def _parts(study: Study) -> str:
  statistics = ("variance", "mad", "bayesian")
  auxiliaries = ("class_balanced_dice", "tversky", "none", "focal")
  by_auxiliary = ", ".join(
    f"{name} {study.mean_difference([f'{one}+{name}' for one in statistics]):+.1f}"
    for name in auxiliaries
  )
  by_statistic = ", ".join(
    f"{name} {study.mean_difference([f'{name}+{one}' for one in auxiliaries]):+.1f}"
    for name in statistics
  )
  first, last, steps = _share(study)
  return f"""\
**Auxiliary loss and statistic.** Mean differences to equal weights on the grouped split, by
  auxiliary loss: {by_auxiliary}; by statistic: {by_statistic}. They are means of few rows and have
  no interval. In a run of {steps} steps the auxiliary loss never fades: its share of all weights is
  {first:.0f} % in the first step and {last:.0f} % in the last, since its weight starts at 5, the
  base weights add to 1, and it decays by 5 % in 100 steps. So in rows with an
  auxiliary loss it has most of the weight from the first step to the last."""


def _share(study: Study) -> tuple[float, float, int]:
  """Returns the auxiliary loss' share of all weights, first and last in percent, and the steps."""
  own = recipe("dmf_busi").auxiliary
  steps = _STEPS * study.setting["num_epochs"]
  weights = (
    own.initial * math.exp(-own.decay * (step // own.decay_every)) for step in (0, steps - 1)
  )
  first, last = (100 * weight / (1 + weight) for weight in weights)
  return first, last, steps


def _papers_gain(study: Study) -> float:
  means = [study.published[name]["dice"]["mean"] for name in (_PAPERS_BEST, "fixed")]
  return means[0] - means[1]


def _gradients(study: Study) -> str:
  demo = [name for name in study.methods(split="grouped") if name.endswith(DEMO)]
  spread = study.spread("grouped", demo, "dice")
  return f"""\
**Losses without a gradient.** In the authors' demo, IoU and Dice are computed from masks of the
  most probable class and have no gradient, so that only the cross-entropy trains. Equal weights of
  these losses differ from equal weights of soft losses by {_against_fixed(study, f"fixed{DEMO}")}.
  The {len(demo)} ways to weigh them have {percent(spread.lowest)} to {percent(spread.highest)} %.
  Adam divides a constant factor of the gradient out, so that only changes of the cross-entropy's
  weight over time can have an effect."""


def _leaks(study: Study) -> str:
  leak = study.leaks("random", study.paper("random"))
  fixed = [percent(study.mean("fixed", "dice", split=split)) for split in ("random", "grouped")]
  return f"""\
**Leaks.** On the random split {percent(leak["share"], 0)} % of the test images have a
  near-duplicate among the training images. They have a Dice of {percent(leak["leaking"])} %
  (lesion), the others of {percent(leak["others"])} %; the 95 % interval of the difference is
  [{100 * leak["low"]:+.1f}, {100 * leak["high"]:+.1f}] points. They may also be easier images, so
  that not all of this need be the leak. Equal weights have {fixed[0]} % on the random split and
  {fixed[1]} % on the grouped one."""


def _others(study: Study) -> str:
  own = {*study.published, *(f"{name}{DEMO}" for name in study.published)}
  others = [name for name in study.methods(split="grouped") if name not in own]
  better, worse = study.significant("grouped", others, "p_cases_holm")
  ranked = sorted(others, key=study.change, reverse=True)
  texts = [f"{name} {_against_fixed(study, name)}" for name in (ranked[0], ranked[-1])]
  return f"""\
**Other weightings.** Of {len(others)} other weightings of the three losses, {better} are better
  than equal weights at 5 % over the test images and {worse} are worse. The differences go from
  {texts[0]} to {texts[1]}."""


def _faults(study: Study) -> str:
  """Returns what is wrong with the rows."""
  if not is_of_first_version(study.setting):
    return ""
  return f"""\
**Faults of these rows.** They are of version 0.1.0, in which {LATE_DWA}.
  The weights add to 3 under equal weights and to 1 under Dynamic Memory Fusion, where that of the
  auxiliary loss comes on top; Adam divides such a factor out. The weights over training, figure 4
  of the paper, and the losses, figure 5, are not among the committed files."""


def _against_fixed(study: Study, method: str) -> str:
  return study.difference(method, "dice", split="grouped")


def _table(study: Study, methods: list[str], *, with_tests: bool) -> Table:
  """Returns a row per method: Dice on both splits, as the paper counts, and the paper's own."""
  columns = [("grouped", "dice"), ("random", "dice"), ("random", _POOLED)]
  header = ["method", "lesion, grouped", "lesion, random", "as the paper counts, random", "paper"]
  if with_tests:
    header.insert(2, "Δ to fixed [95 %], p")
  best = [study.best(metric, methods=methods, split=split) for split, metric in columns]
  rows = []
  for method in methods:
    cells = [
      TableCell(study.score(method, metric, split=split), method == top)
      for (split, metric), top in zip(columns, best, strict=True)
    ]
    if with_tests:
      cells.insert(1, TableCell(_against_fixed(study, method)))
    theirs = study.published.get(method, {}).get("dice")
    rows.append((TableCell(method), *cells, TableCell(f"{theirs['mean']:.1f}" if theirs else "")))
  return Table("", tuple(header), tuple(rows))
