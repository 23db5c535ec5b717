"""What cases are worth that lack a mask or a diagnosis: joint training on BUSI.

    python -m mlseg.sweep --study=configs/studies/partly_labelled.py

Of the training cases 30 % lose their mask, and another 30 % their diagnosis. They train the losses
of what they have, or are left out; in the last row all have both. All rows take equally many steps
(1,120; 1,122 where cases are left out). The results are in docs/strong_study.md.
"""

HIDDEN = {"data.hide_masks": 0.3, "data.hide_diagnoses": 0.3}
LABELS: dict[str, dict] = {
  "complete cases alone (40 %)": HIDDEN | {"data.partly_labelled": "leave_out", "num_epochs": 102},
  "all cases, with what they have": HIDDEN,
  "all labels": {},
}


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  return {
    "name": "partly_labelled",
    "config": "../strong.py:busi+efficientnet_lite0+joint",
    "seeds": 3,
    "axes": {"labels": LABELS},
    "reference": "complete cases alone (40 %)",
  }
