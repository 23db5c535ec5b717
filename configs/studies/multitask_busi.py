r"""Multi-task U-Net on BUSI, compared with single tasks, other networks, ratios and weightings.

    python -m mlseg.sweep --study=configs/studies/multitask_busi.py
    python -m mlseg.sweep --study=configs/studies/multitask_busi.py --cells='mobilenet_v2/*'

A cross-validation trains one fold per seed, and its paired t-test is the one over seeds:

    python -m mlseg.sweep --study=configs/studies/multitask_busi.py \
        --config.data.num_folds=5 --config.num_seeds=5

The results at a smaller size are in `docs/multitask_study.md`.
"""

RATIOS = ((1, 1), (2, 1), (10, 1), (1, 2), (1, 5), (1, 10))
ADAPTIVE = {
  "uncertainty": "uncertainty",
  "DMF": "dynamic_memory_fusion",
  "DWA": "dynamic_weight_average",
}
REFERENCE = "joint, 5:1"


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  return {
    "name": "multitask_busi",
    "config": "../multitask_busi.py",
    "seeds": 5,
    "axes": {
      "encoder": {
        "mobilenet_v2": {},
        "vgg16": {"model.encoder": "vgg16", "model.convention": "keras"},
      },
      "method": methods(),
    },
    "reference": REFERENCE,
  }


def methods() -> dict:
  """Returns the settings of each row, by its label."""
  joint, parts = "joint+mobilenet_v2", ("segmentation", "classification")
  rows: dict = {REFERENCE: {"variant": joint}}
  rows |= {f"{part} alone": {"variant": f"{part}+mobilenet_v2"} for part in parts}
  gates = {"variant": f"{parts[0]}+mobilenet_v2", "model.attention": True}
  rows["attention U-Net"] = gates
  rows["Mask R-CNN"] = {"variant": "mask_rcnn+mobilenet_v2"}
  scratch = {"model.pretrained": "none"}
  rows["joint, from scratch"] = {"variant": joint, **scratch}
  for part in parts:
    rows[f"{part} alone, from scratch"] = {"variant": f"{part}+mobilenet_v2", **scratch}
  rows["joint, without skips"] = {"variant": joint, "model.skips": False}
  for first, second in RATIOS:
    weights = (float(first), float(second))
    rows[f"joint, {first}:{second}"] = {"variant": joint, "weighting.fixed": weights}
  for label, name in ADAPTIVE.items():
    per_epoch = name == "dynamic_weight_average"  # as in its publication
    rows[f"joint, {label}"] = {
      "variant": joint, "weighting.name": name, "weighting.per_epoch": per_epoch
    }  # fmt: skip
  return rows
