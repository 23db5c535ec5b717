"""The text of `docs/dmf_study.md`, every number of it from the rows."""

from findings import DEMO, Study, percent
from pages import recipe, sweep_command, wrapped

from mlseg.report.tables import Table, TableCell, to_markdown

_POOLED = "dice_with_background_pooled"
_PAPERS_BEST = "variance+class_balanced_dice"


def text(study: Study) -> str:
  """Returns the page."""
  findings = (_level, _leaks, _weighting, _parts, _gradients, _others)
  bullets = "\n".join(wrapped(finding(study), "- ", "  ") for finding in findings)
  methods = list(dict.fromkeys([*study.methods(split="grouped"), *study.methods(split="random")]))
  table = to_markdown(_table(study, methods, with_tests=True))
  return f"{_head(study)}\n{bullets}\n\n{table}\n{_NOTE}"


_NOTE = """\
Dice in percent, mean ± standard deviation over seeds. Lesion: per picture, then averaged. As the
paper counts: mean of lesion and background, from the counts of all test pictures. Δ: over groups of
near-duplicate test pictures, with its 95 % interval; p by Wilcoxon's test over these groups,
after Holm over all methods. The best of a column is bold.
"""


def readme_table(study: Study) -> str:
  """Returns the paper's rows, ours and its own, for the README."""
  return to_markdown(_table(study, study.paper("grouped"), with_tests=False))


def _head(study: Study) -> str:
  count, seeds, setting = study.num_models(), study.num_seeds(), study.setting
  size, filters = setting["data.image_size"], setting["model.filters"]
  whole = recipe("dmf_busi")
  side = whole.data.image_size
  text = f"""\
    {count} models on BUSI: the thirteen configurations of the paper (Golnari & Diba 2026), other
    adaptive weightings, and the paper's losses as the authors' demo has them, {seeds} seeds each,
    on a split that keeps near-duplicates together (grouped) and on the paper's (random). Without a
    GPU, on {setting["device"].replace("cpu", "CPU cores")}, they are smaller than the recipe:
    pictures of {size}×{size} and {filters} filters instead of {side}×{side} and
    {whole.model.filters}, {setting["num_epochs"]} epochs. How much that costs: the
    recipe's own row, {_PAPERS_BEST}, has {study.at_full_size[0]} % (lesion) and
    {study.at_full_size[1]} % (mean with the background) at full size, and here
    {study.score(_PAPERS_BEST, "dice", split="grouped")} % and
    {study.score(_PAPERS_BEST, "dice_with_background", split="grouped")} %."""
  links = """\
    `python docs/dmf_study/make.py` computes this page from the [rows](dmf_study); here are
    [all tables](dmf_study/tables.md) and [figures](dmf_study/figures) of the report: predictions,
    learning curves, cases side by side, weights over training."""
  command = sweep_command("dmf_busi", setting, "DIR/Dataset_BUSI_with_GT")
  title = "# The Dynamic Memory Fusion study"
  return f"{title}\n\n{wrapped(text)}\n\n{command}\n{wrapped(links)}\n"


def _level(study: Study) -> str:
  theirs = [row["dice"]["mean"] for row in study.published.values()]
  random, grouped = (
    study.spread(split, study.paper(split), _POOLED) for split in ("random", "grouped")
  )
  names = ("dice", "dice_pooled", "dice_with_background", _POOLED)
  same = [percent(study.mean(_PAPERS_BEST, name, split="random")) for name in names]
  training = study.on_training("random", study.paper("random"), _POOLED)
  return f"""\
**Level.** The paper's rows have {min(theirs):.1f} to {max(theirs):.1f} % Dice. Counted as it
  counts, ours have {percent(random.lowest)} to {percent(random.highest)} % on the random split and
  {percent(grouped.lowest)} to {percent(grouped.highest)} % on the grouped one. The convention is
  part of it: the same predictions of {_PAPERS_BEST} have {same[0]} % on the lesion, {same[1]} %
  with counts pooled, {same[2]} % as the mean with the background and {same[3]} % with both. The
  paper's level our models reach only on the pictures that they were trained on:
  {percent(training)} % by its count."""


def _weighting(study: Study) -> str:
  rows = [name for name in study.paper("grouped") if name != "fixed"]
  better, worse = study.significant("grouped", rows, "p_cases_holm")
  known = [name for name in study.paper("random") if name != "fixed"]
  naive = study.significant("random", known, "p_cases_holm")
  best = max(rows, key=study.change)
  correlations = [study.rank_correlation(split, _POOLED, "dice") for split in ("random", "grouped")]
  rho = " and ".join(f"{value:+.2f} (p {p:.2f})" for value, p in correlations)
  papers = "the paper's best too"
  if best != _PAPERS_BEST:
    papers = f"where {_PAPERS_BEST}, the paper's best, has {_against_fixed(study, _PAPERS_BEST)}"
  return f"""\
**Does the weighting help, where Dice and IoU have gradients?** Against equal weights of soft
  losses, on the grouped split, at 5 % over cases and after Holm: {better} of its twelve rows is
  better, {worse} worse (on the random split {naive[0]} and {naive[1]}). Over the
  seeds the least p of all methods is {study.least_p("grouped"):.2g}. In points of
  the lesion's Dice the largest difference is that of {best}, {papers}:
  {_against_fixed(study, best)}; the paper has
  {_papers_gain(study):+.1f}. The order of the rows agrees with the paper's by Spearman's ρ {rho} on
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
  return f"""\
**The auxiliary loss decides more than the statistic.** Mean differences to equal weights on the
  grouped split, by auxiliary loss: {by_auxiliary}; by statistic: {by_statistic}."""


def _papers_gain(study: Study) -> float:
  means = [study.published[name]["dice"]["mean"] for name in (_PAPERS_BEST, "fixed")]
  return means[0] - means[1]


def _gradients(study: Study) -> str:
  demo = [name for name in study.methods(split="grouped") if name.endswith(DEMO)]
  spread = study.spread("grouped", demo, "dice")
  return f"""\
**Losses without a gradient**, as in the demo, leave the cross-entropy alone to train: equal weights
  of them differ from those of soft losses by {_against_fixed(study, f"fixed{DEMO}")}. The
  {len(demo)} ways to weigh them have {percent(spread.lowest)} to {percent(spread.highest)} %;
  under Adam a constant factor of the gradient cancels, so that weights act through their changes
  alone."""


def _leaks(study: Study) -> str:
  leak = study.leaks("random", study.paper("random"))
  fixed = [percent(study.mean("fixed", "dice", split=split)) for split in ("random", "grouped")]
  return f"""\
**Leaks.** On the random split {percent(leak["share"], 0)} % of the test pictures have a
  near-duplicate in training. They have {percent(leak["leaking"])} % (lesion), the others
  {percent(leak["others"])} %: [{100 * leak["low"]:+.1f}, {100 * leak["high"]:+.1f}] points. Equal
  weights have {fixed[0]} % on the random split and {fixed[1]} % on the grouped one."""


def _others(study: Study) -> str:
  own = {*study.published, *(f"{name}{DEMO}" for name in study.published)}
  others = [name for name in study.methods(split="grouped") if name not in own]
  better, worse = study.significant("grouped", others, "p_cases_holm")
  ranked = sorted(others, key=lambda name: -study.mean(name, "dice", split="grouped"))
  texts = [f"{name} {_against_fixed(study, name)}" for name in (ranked[0], ranked[-1])]
  return f"""\
**Other weightings** of the three losses, {len(others)} of them, against equal weights: {better} do
  better and {worse} worse. From {texts[0]} to {texts[1]}."""


def _against_fixed(study: Study, method: str) -> str:
  return study.difference(method, "dice", split="grouped")


def _table(study: Study, methods: list[str], *, with_tests: bool) -> Table:
  """Returns a row per method: Dice on both splits, as the paper counts, and the paper's own."""
  columns = [("grouped", "dice"), ("random", "dice"), ("random", _POOLED)]
  header = ["method", "lesion, grouped", "lesion, random", "as the paper counts, random", "paper"]
  if with_tests:
    header.insert(2, "Δ to fixed [95 %], p")
  best = [_best(study, split, metric, methods) for split, metric in columns]
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


def _best(study: Study, split: str, metric: str, methods: list[str]) -> str:
  own = [method for method in methods if method in study.methods(split=split)]
  return max(own, key=lambda method: study.mean(method, metric, split=split), default="")
