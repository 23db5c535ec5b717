r"""Multi-task U-Net on BUSI, compared with single tasks, other networks, ratios and weightings.

    python -m mlseg.sweep --study=configs/studies/multitask_busi.py
    python -m mlseg.sweep --study=configs/studies/multitask_busi.py --cells='joint*'

A cross-validation trains one fold per seed, and its paired t-test is the one over seeds:

    python -m mlseg.sweep --study=configs/studies/multitask_busi.py \
        --config.data.num_folds=5 --config.num_seeds=5

The encoder is MobileNetV2 where a row does not name another. Adam divides a constant factor of the
gradient out, and the weights of methods whose sum would change during training are rescaled to the
number of losses, so that all rows take steps of the same size. The results at a smaller size are in
`docs/multitask_study.md`.
"""

RATIOS = ((1, 1), (2, 1), (10, 1), (1, 2), (1, 5), (1, 10))
TASKS = ("segmentation", "classification")
_RESCALED = {"weighting.rescale": "sum_to_num_losses"}
ADAPTIVE: dict[str, dict] = {
  "uncertainty": {"weighting.name": "uncertainty", **_RESCALED},
  "DMF": {"weighting.name": "dynamic_memory_fusion"},
  # Per epoch, as in its publication.
  "DWA": {"weighting.name": "dynamic_weight_average", "weighting.per_epoch": True},
  "UPGrad": {"weighting.name": "upgrad", **_RESCALED},
}
REFERENCE = "joint, 5:1"


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  return {
    "name": "multitask_busi",
    "config": "../multitask_busi.py",
    "seeds": 5,
    "axes": {"method": methods()},
    "reference": REFERENCE,
  }


def methods() -> dict:
  """Returns the settings of each row, by its label."""
  joint, segmentation = "joint+mobilenet_v2", "segmentation+mobilenet_v2"
  scratch = {"model.pretrained": "none"}
  rows: dict = {REFERENCE: {"variant": joint}}
  rows |= {f"{task} alone": {"variant": f"{task}+mobilenet_v2"} for task in TASKS}
  rows |= {f"{task}, VGG16": {"variant": f"{task}+vgg16"} for task in ("joint", *TASKS)}
  rows["attention U-Net"] = {"variant": "attention_unet"}  # from scratch, as the paper has it
  rows["segmentation alone, attention gates"] = {"variant": segmentation, "model.attention": True}
  rows["Mask R-CNN"] = {"variant": "mask_rcnn+mobilenet_v2"}
  rows["joint, from scratch"] = {"variant": joint, **scratch}
  for task in TASKS:
    rows[f"{task} alone, from scratch"] = {"variant": f"{task}+mobilenet_v2", **scratch}
  rows["joint, without skips"] = {"variant": joint, "model.skips": False}
  for first, second in RATIOS:
    weights = (float(first), float(second))
    rows[f"joint, {first}:{second}"] = {"variant": joint, "weighting.fixed": weights}
  rows |= {f"joint, {label}": {"variant": joint, **own} for label, own in ADAPTIVE.items()}
  return rows
