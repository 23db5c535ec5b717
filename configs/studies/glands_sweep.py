"""Figure 2 of BenTaieb & Hamarneh: scores over the ratio of two weights, λ and 1 - λ.

    python -m mlseg.sweep --study=configs/studies/glands_sweep.py --config.data.root=DIR

In the first rows λ weighs the class and 1 - λ the segmentation. In the others λ weighs the topology
and 1 - λ the geometry, beside a segmentation loss of weight 1. The results at a smaller size are in
`docs/uncertainty_study.md`.
"""

SHARES = tuple(n / 10 for n in range(11))


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  rows = {}
  for share in SHARES:
    rest = round(1 - share, 1)
    rows[f"{share} c + {rest} s"] = {"variant": "c+s", "weighting.fixed": (share, rest)}
  for share in SHARES:
    rest = round(1 - share, 1)
    rows[f"s + {share} t + {rest} g"] = {"variant": "s+t+g", "weighting.fixed": (1.0, share, rest)}
  return {
    "name": "glands_sweep",
    "config": "../glands.py",
    "seeds": 3,
    "axes": {"weights": rows},
    "reference": "0.5 c + 0.5 s",
  }
