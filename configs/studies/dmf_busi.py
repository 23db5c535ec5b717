"""Dynamic Memory Fusion on BUSI: table 1 of the paper on two splits, and further weightings.

    python -m mlseg.sweep --study=configs/studies/dmf_busi.py
    python -m mlseg.sweep --study=configs/studies/dmf_busi.py --config.num_seeds=3   # on a CPU

The rows are the thirteen of the paper, with soft base losses that have gradients (`fixed` has equal
weights); eight other weightings, by loss values or by gradients; and the authors' demo, whose IoU
and Dice losses are computed on arg-maxed masks and have no gradient. On two CPU cores a model takes
four to ten minutes, and all cells with three seeds take ten hours or more. The results at a smaller
size are in `docs/dmf_study.md`.

Reference: Golnari & Diba, arXiv 2410.19745, table 1.
"""

PAPER = (
  *(
    f"{statistic}+{auxiliary}"
    for statistic in ("variance", "mad", "bayesian")
    for auxiliary in ("tversky", "focal", "class_balanced_dice", "none")
  ),
  "fixed",
)
OTHERS = (
  "uncertainty", "dynamic_weight_average", "softadapt", "coefficient_of_variation",
  "random_weighting", "famo", "gradnorm", "upgrad",
)  # fmt: skip
DEMO = ("fixed", "variance+none", "mad+none", "bayesian+none")
PER_EPOCH = ("dynamic_weight_average",)  # as in its publication


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  methods = {name: {"variant": name} for name in PAPER}
  for name in OTHERS:
    methods[name] = {
      "variant": "fixed", "weighting.name": name, "weighting.per_epoch": name in PER_EPOCH
    }  # fmt: skip
  for name in DEMO:
    losses = ("cross_entropy", "hard_iou", "hard_dice")
    methods[f"{name}, no gradient"] = {"variant": name, "losses": losses}
  return {
    "name": "dmf_busi",
    "config": "../dmf_busi.py",
    "seeds": 10,
    "axes": {
      "split": {"grouped": {"data.split": "grouped"}, "random": {"data.split": "random"}},
      "method": methods,
    },
    "reference": "fixed",
    "published": ("dmf_published.json", "busi"),
  }
