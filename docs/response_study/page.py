"""The text of `docs/response_study.md`, every number of it from the rows."""

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

import chance
from findings import PLANTED, POSITIVE, SHOWN, SHUFFLED, SINGLE, Study
from pages import recipe, sweep_command, wrapped

from mlseg.report import names
from mlseg.report.study import p_text
from mlseg.report.tables import Table, TableCell, to_markdown

Numbers = Mapping[str, Any]
_EARLY = 5  # epochs
_FIGURES = """\
![ROC curves](response_study/figures/roc.png)

![A patient: the slices that count, and what in them spoke for the answer][1]
![Another patient][2]

[1]: response_study/figures/patient_1.png
[2]: response_study/figures/patient_2.png
"""
_NOTE = """\
Of the patients, each once, from the fold that tested it; in square brackets 95 % intervals, of the
AUC by DeLong, and of F1, at the threshold that each fold's validation part chose, by bootstrap. AUC
of folds: mean ± standard deviation. Sensitivity is at 90 % specificity; Brier: less is better. Δ:
AUC against the single loss, by DeLong's paired test, with p after Holm; p over folds is that of a
paired t-test of the folds' AUCs, which is too sure: the folds share training patients.
"""
_PUBLISHED = (
  "The article reports an AUC of 0.73 [0.58, 0.86] on 280 patients of its own, which are not"
  " public; nothing here is to be compared with it but the shape of the experiment."
)


def text(study: Study, memory: Numbers) -> str:
  """Returns the page."""
  found = (
    _signal(study), _several(study), _without(study), _early(study), _covariates(study),
    _memory(memory),
  )  # fmt: skip
  bullets = "\n".join(wrapped(one, "- ", "  ") for one in (*found, _PUBLISHED))
  tables = f"{to_markdown(_table(study))}\n{wrapped(_NOTE)}"
  return f"{_head(study)}\n{bullets}\n\n{_FIGURES}\n{tables}\n"


def _head(study: Study) -> str:
  setting, whole = study.setting, recipe("response_synthetic")
  count = next(iter(study.outcomes(PLANTED)["runs"].values()))["num_patients"]
  same = all(setting[key] == whole[key] for key in ("num_epochs", "batch_size"))
  differs = "" if same else f" of {setting['num_epochs']} epochs instead of {whole.num_epochs}"
  words = f"""\
    {study.num_models()} models{differs} on a generated cohort of {count} patients: lesions planted
    on two real CT volumes, whose texture, not size, tells the outcome, and a tenth of whose labels
    is flipped. One loss against five, under several weightings, in a cross-validation of
    {setting["data.num_folds"]} folds, of which each seed tests one; and with the labels of other
    patients, shuffled in {len(study.shuffles())} ways, by which nothing can be learnt. The recipe's
    numbers were chosen on another cohort, of another seed. `python docs/response_study/make.py`
    computes this page from its [rows](response_study)."""
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
    f"**Signal and chance.** The lowest lower bound of the AUC of any method is {low:.3f}"
    f" (`{lowest}`), where 0.5 is chance. With labels shuffled in {count} ways the mean AUC is"
    f" {means}, with intervals of t over the ways: {covers} of {len(null)} cover 0.5. Of the"
    f" {len(each)} intervals by DeLong of single ways {sum(map(_covers, each))} do. Those are too"
    " narrow here: they take the models as they are, while in a cross-validation each model has"
    f" seen the labels of the others' test patients. In simulated ones of {patients} patients,"
    f" {folds} folds and a linear score of features that say nothing, {100 * share:.0f} % of them"
    " cover 0.5 (`chance.py`)."
  )


def _covers(found: Numbers) -> bool:
  return found["low"] <= 0.5 <= found["high"]


def _several(study: Study) -> str:
  known = [name for name in study.methods(labels=PLANTED) if name.startswith("all")]
  single = study.outcomes(PLANTED)["runs"][SINGLE]
  return (
    f"**Several losses against one.** The loss of the outcome alone has an AUC of {_auc(single)}."
    f" Against it, {'; '.join(_against(study, name) for name in known)}."
  )


def _against(study: Study, method: str) -> str:
  """Returns how the AUC of a method differs from that of the single loss."""
  found = next(c for c in study.outcomes(PLANTED)["comparisons"] if c["run"] == method)
  over_folds = p_text(str(study.p_over_folds(method)))
  return f"`{method}` {_change(found)} over patients, {over_folds} over folds"


def _without(study: Study) -> str:
  runs = study.outcomes(PLANTED)["runs"]
  known = [name for name in runs if name.startswith("without")]
  parts = "; ".join(f"`{name}` {_auc(runs[name])}" for name in known)
  return f"**Leaving one out** of `{SHOWN[-1]}` ({_auc(runs[SHOWN[-1]])}): {parts}."


def _early(study: Study) -> str:
  found = study.by_epoch_kept(_EARLY)
  early, late = (statistics.fmean(auc for _, auc in found[kind]) for kind in (True, False))
  methods = Counter(name for name, _ in found[True])
  which = names.listed([f"{count} of `{name}`" for name, count in methods.items()])
  return (
    f"**Early stopping** keeps the epoch with the best AUC of the {study.num_validating()}"
    f" patients who validate a fold: few, so that a lucky epoch is kept now and then. Of the"
    f" {len(found[True]) + len(found[False])} models under several losses {len(found[True])} are"
    f" from the first {_EARLY} epochs, {which}; their AUC of test is {early:.3f} on the mean, that"
    f" of the others {late:.3f}."
  )


def _covariates(study: Study) -> str:
  known = study.outcomes(PLANTED)["runs"][SINGLE]["covariates"]
  words = {"lesion_ml": "its volume", "mean_hu": "its mean intensity"}
  parts = "; ".join(
    f"{words.get(name, name)} {_interval(one['auc'])}" for name, one in known.items()
  )
  return f"**What the lesion tells without a network**: {parts}."


def _memory(memory: Numbers) -> str:
  ratio = memory["all"]["peak"] / memory["classification_cross_entropy"]["peak"]
  peaks = [memory[name]["peak"] / 1e6 for name in ("all", "classification_cross_entropy")]
  return (
    f"**Memory** of a training step of `configs/response_ct.py` on one network, by the compiler's"
    f" account: {peaks[0]:.0f} MB under all five losses, {peaks[1]:.0f} under the outcome's alone,"
    f" {ratio:.2f} times as much (`benchmarks/loss_memory.py`)."
  )


def _table(study: Study) -> Table:
  """Returns a row per method, those with shuffled labels last."""
  header = (
    "losses", "AUC", "AUC of folds", "Δ AUC", "p over folds", "F1", "sensitivity", "Brier",
    "p, chance",
  )  # fmt: skip
  rows = []
  for labels in (PLANTED, *study.shuffles()):
    found = study.outcomes(labels)
    changes = {one["run"]: one for one in found["comparisons"]}
    for name, one in found["runs"].items():
      title = name if labels == PLANTED else f"{name}, {labels}"
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
