"""The figures of a run are drawn from whatever its files hold."""

import json

import numpy as np

from mlseg.report import plots


def test_figures_draw_a_run_with_gaps_and_several_seeds(tmp_path):
  with (tmp_path / "metrics.jsonl").open("w") as file:
    for seed in (0, 1):
      for epoch, loss in ((0.5, 1.0), (1.0, None)):
        record = {
          "seed": seed,
          "step": 1,
          "epoch": epoch,
          "losses": {"a": loss},
          "weights": {"a": 1},
        }
        file.write(json.dumps(record) + "\n")
  np.savez(
    tmp_path / "examples.npz",
    images=np.zeros((1, 8, 8, 1), np.uint8),
    masks=np.zeros((1, 8, 8), np.uint8),
    predictions=np.ones((1, 8, 8), np.uint8),
    ids=np.array(["case 1"]),
    dice=np.array([0.0]),
  )
  files = plots.plot_run(tmp_path)
  assert [f.name for f in files] == ["losses.png", "weights.png", "predictions.png"]
  assert all(f.stat().st_size > 5000 for f in files)
