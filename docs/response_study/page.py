"""The text of `docs/response_study.md`, every number of it from the rows."""

import pathlib
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import chance
from findings import PLANTED, POSITIVE, SHOWN, SHUFFLED, SINGLE, Study
from pages import LATE_DWA, is_of_first_version, recipe, sweep_command, wrapped

from mlseg.report import names
from mlseg.report.study_cells import p_text
from mlseg.report.tables import Table, TableCell, to_markdown

Numbers = Mapping[str, Any]
_EARLY = 5  # epochs
_FOLDER = pathlib.Path(__file__).with_name("figures")
_NOTE = """\
Each patient counts once, with the prediction of the fold that tested it. Square brackets: 95 %
intervals, of the AUC by DeLong, and of F1 by bootstrap, at the threshold that the validation part
of each fold chose. The outcome that F1 and sensitivity are of is {positive}. AUC of folds: mean ±
standard deviation. Sensitivity is at 90 % specificity. Brier: less is better. Δ: difference of the
AUC to that of the single loss, with p of DeLong's paired test after Holm's correction. p over
folds: of a paired t-test of the folds' AUCs; it is too small, since the folds share training
patients. """
_PUBLISHED = (
  "The article reports an AUC of 0.73 [0.58, 0.86] on 280 patients of its own, which are not"
  " public. This cohort is generated, so its numbers cannot be compared with those of the article."
)


def text(study: Study, memory: Numbers) -> str:
  """Returns the page."""
  found = (
    _signal(study), _several(study), _noise(study), _without(study), _early(study),
    study.convergence(labels=PLANTED), _lesions(study), _covariates(study), _memory(memory),
    _faults(study),
  )  # fmt: skip
  bullets = "\n".join(wrapped(one, "- ", "  ") for one in (*found, _PUBLISHED) if one)
  note = wrapped(_NOTE.format(positive=POSITIVE))
  return f"{_head(study)}\n{bullets}\n\n{_figures()}\n{to_markdown(_table(study))}\n{note}\n"


def _figures() -> str:
  """Returns the figures that are there."""
  alt = {"roc": "ROC curves; of the shuffles of labels, the first"}
  alt |= {f"patient_{n}": "A patient: the slices with the most attention" for n in (1, 2)}
  return "".join(
    f"![{words}](response_study/figures/{name}.png)\n\n"
    for name, words in alt.items()
    if (_FOLDER / f"{name}.png").exists()
  ).rstrip("\n") + "\n"  # fmt: skip


def _head(study: Study) -> str:
  setting, whole = study.setting, recipe("response_synthetic")
  count = next(iter(study.outcomes(PLANTED)["runs"].values()))["num_patients"]
  same = all(setting[key] == whole[key] for key in ("num_epochs", "batch_size"))
  differs = "" if same else f" of {setting['num_epochs']} epochs instead of {whole.num_epochs}"
  words = f"""\
    {study.num_models()} models{differs} on a generated cohort of {count} patients. Lesions were
    planted into two real CT volumes. Their texture, not their size, tells the outcome, and a tenth
    of the outcomes is flipped. One loss is compared with five, under several weightings, in a
    cross-validation of {setting["data.num_folds"]} folds, of which each seed tests one. As a check,
    models were also trained with the labels of other patients, shuffled in {len(study.shuffles())}
    ways: then there is nothing to learn, and the AUC should be 0.5. The recipe's numbers were
    chosen on another cohort, of another seed. `python docs/response_study/make.py` computes this
    page from its [rows](response_study)."""
  command = sweep_command("response_synthetic", setting, "cohort")
  made = f"python -m mlseg.data.response_cohort --backgrounds=DIR --out=cohort --patients={count}"
  command = command.replace("```sh\n", f"```sh\n{made}\n", 1)
  title = "# Response from CT under several losses"
  return f"{title}\n\n{wrapped(words)}\n\n{command}"


def _auc(one: Numbers) -> str:
  return _interval(one["auc_delong"])


def _interval(found: Numbers | None) -> str:
  if found is None or found["estimate"] is None:
    return "–"
  return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _signal(study: Study) -> str:
  planted = study.outcomes(PLANTED)["runs"]
  lowest = min(planted, key=lambda name: planted[name]["auc_delong"]["low"])
  low = planted[lowest]["auc_delong"]["low"]
  methods, count = study.methods(labels=SHUFFLED), len(study.shuffles())
  null = {name: study.by_chance(name) for name in methods}
  means = "; ".join(f"`{name}` {_interval(one['mean'])}" for name, one in null.items())
  covers = sum(_covers(one["mean"]) for one in null.values())
  each = [own for one in null.values() for own in one["each"]]
  patients, folds = planted[SINGLE]["num_patients"], study.setting["data.num_folds"]
  share = chance.coverage(patients, folds)
  return (
    "**Signal and chance.** An AUC of 0.5 is chance. Of all methods, the lowest lower end of an"
    f" interval of the AUC is {low:.3f} (`{lowest}`). With labels shuffled in {count} ways, the"
    f" mean AUC is {means}, with intervals of Student's t over the ways: {covers} of {len(null)}"
    f" contain 0.5. Of the {len(each)} intervals of single ways, by DeLong,"
    f" {sum(map(_covers, each))} contain it. Such intervals are too narrow in a cross-validation:"
    " they take the models as given, while each model was trained on patients that the others are"
    f" tested on. In simulated cross-validations with {patients} patients and {folds} folds, where"
    f" a linear score has nothing to learn, {100 * share:.0f} % of them contain 0.5 (`chance.py`),"
    " not 95 %."
  )


def _covers(found: Numbers) -> bool:
  return found["low"] <= 0.5 <= found["high"]


def _several(study: Study) -> str:
  known = [name for name in study.methods(labels=PLANTED) if name.startswith("all")]
  single = study.outcomes(PLANTED)["runs"][SINGLE]
  return (
    f"**Several losses against one.** The loss of the outcome alone has an AUC of {_auc(single)}."
    f" Against it: {'; '.join(_against(study, name) for name in known)}. {_verdict(study, known)}"
  )


def _verdict(study: Study, methods: Sequence[str]) -> str:
  """Returns in words which of the methods differ from the single loss at 5 % over folds."""
  found = [f"`{name}`" for name in methods if study.p_over_folds(name) < 0.05]
  if not found:
    return "Over the folds none of these differences is significant at 5 %."
  return f"Over the folds {names.listed(found)} differ{'s' * (len(found) == 1)} at 5 %."


def _against(study: Study, method: str) -> str:
  """Returns how the AUC of a method differs from that of the single loss."""
  found = next(c for c in study.outcomes(PLANTED)["comparisons"] if c["run"] == method)
  over_folds = p_text(str(study.p_over_folds(method)))
  return f"`{method}` {_change(found)} over patients, {over_folds} over folds"


def _noise(study: Study) -> str:
  """Returns how far trainings under other seeds deviate."""
  repeats = study.repeats()
  if not repeats:
    return ""
  parts = []
  for name in study.methods(labels=repeats[0]):
    own = study.noise(name)
    parts.append(f"`{name}` {own['fold']:.3f} of a fold, {own['whole']:.3f} of all patients")
  count = len(repeats) + 1
  return (
    f"**The noise of training.** Two methods were trained {count} times on the same folds, under"
    f" other seeds. The standard deviation of the AUC over these trainings: {'; '.join(parts)}."
    " No interval on this page contains it."
  )


def _without(study: Study) -> str:
  runs = study.outcomes(PLANTED)["runs"]
  known = [name for name in runs if name.startswith("without")]
  parts = "; ".join(f"`{name}` {_auc(runs[name])}" for name in known)
  return (
    f"**Leaving one loss out** of `{SHOWN[-1]}`, whose AUC is {_auc(runs[SHOWN[-1]])}: {parts}."
    " These rows were not tested against it; in the table they are tested against the single loss."
  )


def _early(study: Study) -> str:
  found = study.by_epoch_kept(_EARLY)
  kept = (
    f"**Early stopping** keeps the epoch with the best AUC of the validation patients, of whom a"
    f" fold has {study.num_validating()}."
  )
  if not found[True]:
    return (
      f"{kept} None of the {len(found[False])} models under several losses is from the first"
      f" {_EARLY} epochs."
    )
  early, late = (statistics.fmean(auc for _, auc in found[kind]) for kind in (True, False))
  methods = Counter(name for name, _ in found[True])
  which = names.listed([f"{count} of `{name}`" for name, count in methods.items()])
  return (
    f"{kept} Of the {len(found[True]) + len(found[False])} models"
    f" under several losses, these are from the first {_EARLY} epochs: {which}. The mean AUC of"
    f" test of such models is {early:.3f}, that of the others {late:.3f}. So few models do not tell"
    " whether an early epoch is the cause."
  )


def _lesions(study: Study) -> str:
  """Returns how well the lesions are segmented, which the figures of patients show too."""
  dice = study.values(SHOWN[-1], "dice", labels=PLANTED)
  if not dice:
    return ""
  folds = ", ".join(f"{100 * value:.0f}" for value in dice)
  kept = ", ".join(
    f"{value:.0f}" for value in study.values(SHOWN[-1], "kept_epoch", labels=PLANTED)
  )
  return (
    f"**Masks.** The Dice of the lesion under `{SHOWN[-1]}` is, in percent, {folds} in the"
    f" {len(dice)} folds. The epochs that were kept in them, by the AUC alone, are {kept}."
  )


def _covariates(study: Study) -> str:
  known = study.outcomes(PLANTED)["runs"][SINGLE]["covariates"]
  words = {
    "lesion_ml": "the lesion's volume",
    "diameter_mm": "its longest diameter in a slice (RECIST)",
    "mean_hu": "its mean intensity",
  }
  parts = "; ".join(
    f"{words.get(name, name)} {_interval(one['auc'])}" for name, one in known.items()
  )
  return f"**Covariates alone**, without a network: {parts}."


def _memory(memory: Numbers) -> str:
  ratio = memory["all"]["peak"] / memory["classification_cross_entropy"]["peak"]
  peaks = [memory[name]["peak"] / 1e6 for name in ("all", "classification_cross_entropy")]
  return (
    f"**Memory** of a training step of `configs/response_ct.py` on one network, by the compiler's"
    f" account: {peaks[0]:.0f} MB under all five losses, {peaks[1]:.0f} under the outcome's alone,"
    f" {ratio:.2f} times as much (`benchmarks/loss_memory.py`)."
  )


def _faults(study: Study) -> str:
  """Returns what is wrong with the rows."""
  if not is_of_first_version(study.setting):
    return ""
  return (
    f"**Faults of these rows.** They are of version 0.1.0, in which {LATE_DWA}. That concerns"
    " `all, DWA` and the rows that leave one loss out. Figures of patients are not shown: their"
    " saliency maps had 2×2 cells."
  )


def _table(study: Study) -> Table:
  """Returns a row per method, those with shuffled labels last."""
  header = (
    "losses", "AUC", "AUC of folds", "Δ AUC", "p over folds", "F1", "sensitivity", "Brier",
    "p, chance",
  )  # fmt: skip
  rows = []
  late = study.unfinished(labels=PLANTED)
  for labels in (PLANTED, *study.shuffles()):
    found = study.outcomes(labels)
    changes = {one["run"]: one for one in found["comparisons"]}
    for name, one in found["runs"].items():
      planted = f"{name}{'*' * (name in late)}"
      title = planted if labels == PLANTED else f"{name}, {labels}"
      folds = f"{one['auc_mean']:.3f} ± {one['auc_deviation']:.3f}"
      compared = labels == PLANTED and name in changes
      cells = (
        title, _auc(one), folds, _change(changes[name]) if compared else "",
        p_text(str(study.p_over_folds(name))) if compared else "", _interval(one["f1"]),
        f"{one['sensitivity']:.3f}", f"{one['brier']:.3f}", p_text(str(one["p_permutation"])),
      )  # fmt: skip
      rows.append(tuple(map(TableCell, cells)))
  return Table(f"Outcome: {POSITIVE}", header, tuple(rows))


def _change(one: Numbers) -> str:
  span = f"[{one['low']:+.3f}, {one['high']:+.3f}]"
  return f"{one['difference']:+.3f} {span}, p {p_text(str(one['p_holm']))}"
