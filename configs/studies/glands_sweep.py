"""Figure 2 of BenTaieb & Hamarneh: how two weights share what there is.

    python -m mlseg.sweep --study=configs/studies/glands_sweep.py --config.data.root=DIR

λ of the class and 1 - λ of the segments; and of the topology and the geometry, beside the segments.
"""

SHARES = tuple(n / 10 for n in range(1, 10))


def get_study() -> dict:
  """Returns what is trained, and how it is tabulated."""
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
