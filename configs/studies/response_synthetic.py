"""Several losses against one on the generated cohort, with its labels and with shuffled ones.

    python -m mlseg.data.response_cohort --backgrounds=CT --out=cohort
    python -m mlseg.sweep --study=configs/studies/response_synthetic.py --config.data.root=cohort

The methods are the outcome's loss alone, all five losses under several weightings, all losses but
one, and all five beside the covariates of the manifest, which carry no information in this cohort.
Each seed tests one fold of a five-fold cross-validation. Two of the methods are also trained on
labels that are shuffled in five ways, which shows the scores of chance, and twice more on the same
folds under other seeds, which shows how much the noise of training changes. The results are in
`docs/response_study.md`.
"""

WEIGHTINGS = {
  "all, DWA": {},
  "all, equal": {"weighting.name": "fixed", "weighting.per_epoch": False},
  "all, uncertainty": {"weighting.name": "uncertainty", "weighting.per_epoch": False},
  "all, DMF": {"weighting.name": "dynamic_memory_fusion", "weighting.per_epoch": False},
}
COVARIATES = {"model.covariates": ("lesion_ml", "diameter_mm", "mean_hu")}
WITHOUT = ("contrastive", "hard_negatives", "segmentation", "texture")
LABELS = {"planted": "manifest.csv", "shuffled": "shuffled.csv"} | {
  f"shuffled {number}": f"shuffled_{number}.csv" for number in range(2, 6)
}
FOLDS = 5
AGAIN = {f"seeds {FOLDS * n} to {FOLDS * n + FOLDS - 1}": {"seed": FOLDS * n} for n in (1, 2)}


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  methods: dict = {"classification": {"variant": "classification"}}
  methods |= {label: {"variant": "all", **own} for label, own in WEIGHTINGS.items()}
  for term in WITHOUT:
    methods[f"without {term.replace('_', ' ')}"] = {"variant": f"without_{term}"}
  methods["all, with covariates"] = {"variant": "all", **COVARIATES}
  return {
    "name": "response_synthetic",
    "config": "../response_synthetic.py",
    "seeds": FOLDS,
    "axes": {
      "labels": {name: {"data.cohort.manifest": file} for name, file in LABELS.items()} | AGAIN,
      "method": methods,
    },
    "cells": ("planted/*", "s*/classification", "s*/all___DWA"),
    "reference": "classification",
  }
