"""What the recipe `strong.py` is chosen by, on BUSI: the weighting of its losses, and its encoder.

    python -m mlseg.sweep --study=configs/studies/strong.py

The cells are compared by their Dice on the *validation* images, which is in the log of a run
(`metrics.jsonl`); their test images decide nothing. The weights of a step sum to the number of
losses, so that the steps of all methods are equally long. docs/strong_study.md has the cells
that were trained.
"""

WEIGHTINGS: dict[str, dict] = {
  "equal": {},
  "DMF": {"weighting.name": "dynamic_memory_fusion"},
  "uncertainty": {"weighting.name": "uncertainty"},
  "Aligned-MTL": {"weighting.name": "aligned_mtl"},  # of gradients with respect to the logits
}
ENCODERS = ("efficientnet_lite0", "mobilenet_v2")


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  return {
    "name": "strong",
    "config": "../strong.py",
    "seeds": 3,
    "axes": {
      "encoder": {name: {"model.encoder": name} for name in ENCODERS},
      "weighting": {
        label: settings | ({"weighting.rescale": "sum_to_num_losses"} if settings else {})
        for label, settings in WEIGHTINGS.items()
      },
    },
    "reference": "equal",
  }
