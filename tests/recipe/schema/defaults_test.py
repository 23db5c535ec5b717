"""What a recipe without a key trains."""

import pathlib

from mlseg.recipe import parse, schema

SMOKE = pathlib.Path(__file__).parents[3] / "configs" / "smoke.py"


def test_a_recipe_without_its_newer_keys_is_the_same_recipe():
  content = schema.complete(parse.content(["", f"--config={SMOKE}"]))
  defaults = schema.defaults(content)
  newer = {
    "optimizer.momentum": content["optimizer"]["momentum"],
    "metrics.absent": content["metrics"]["absent"],
    "prediction.views": "one",
    "prediction.ensemble": False,
    "prediction.threshold": "argmax",
    "prediction.components": "all",
    "optimizer.ema": 0.0,
    "optimizer.warm_up": 0.0,
    "optimizer.decay_mask": "all",
    "model.dropout": 0.0,
    "model.deep_supervision": 0,
    "model.bottleneck_dilations": (),
    "auxiliary.schedule": content["auxiliary"]["schedule"],
    "weighting.options.dynamic_memory_fusion.prior": None,
    "loss_options.binary_cross_entropy.label_reduction": "mean",
    "loss_options.binary_cross_entropy.label_smoothing": 0.0,
    "auxiliary.schedule_options.linear_schedule.transition_steps": 0.5,
  }
  assert {key: defaults[key] for key in newer} == newer


def test_the_arguments_of_the_schedule_that_is_used_have_no_default():
  content = schema.complete(
    parse.content(["", f"--config={SMOKE}", "--config.auxiliary.schedule=linear_schedule"])
  )
  assert not any("linear_schedule" in key for key in schema.defaults(content))
