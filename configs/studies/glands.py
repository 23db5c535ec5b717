"""Table 1 of BenTaieb & Hamarneh on Warwick-QU, on two splits, beside other weightings.

    python -m mlseg.sweep --study=configs/studies/glands.py --config.data.root=DIR

The methods are its eleven rows, and on all four losses Dynamic Memory Fusion, DWA, UPGrad, and
variances learned by Adam. The splits are the published division, in which patients recur, and one
that keeps each patient in one part. The results at a smaller size are in
`docs/uncertainty_study.md`.
"""

LABELS = {
  "c": "c",
  "s": "s",
  "t": "t",
  "s+t+g": "s+t+g",
  "c+s": "c+s",
  "c+s+t": "c+s+t",
  "c+s+t+g": "c+s+t+g",
  "c+s+t+g, chosen": "chosen",
  "c+s, uncertainty": "uncertainty_c+s",
  "c+s+t, uncertainty": "uncertainty_c+s+t",
  "c+s+t+g, uncertainty": "uncertainty_c+s+t+g",
}
OTHERS = {
  "DMF": "dynamic_memory_fusion",
  "DWA": "dynamic_weight_average",
  "UPGrad": "upgrad",
}
PER_EPOCH = ("dynamic_weight_average",)  # as in its publication


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  methods: dict = {label: {"variant": variant} for label, variant in LABELS.items()}
  for label, name in OTHERS.items():
    methods[f"c+s+t+g, {label}"] = {
      "variant": "c+s+t+g", "weighting.name": name, "weighting.per_epoch": name in PER_EPOCH
    }  # fmt: skip
  by_adam = {"optimizer": "adam", "learning_rate": 0.025}  # mlseg's default
  methods["c+s+t+g, uncertainty by Adam"] = {"variant": "uncertainty_c+s+t+g"} | {
    f"weighting.options.uncertainty.{name}": value for name, value in by_adam.items()
  }
  return {
    "name": "glands",
    "config": "../glands.py",
    "seeds": 3,
    "axes": {
      "split": {"published": {"data.split": "published"}, "patients": {"data.split": "grouped"}},
      "method": methods,
    },
    "reference": "c+s+t+g, chosen",
    "published": ("glands_published.json", "glas"),
  }
