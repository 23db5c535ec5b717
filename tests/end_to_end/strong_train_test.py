"""The recipe `strong.py` on a folder: one command to an ensemble, a report and predictions."""

import json
import pathlib
import shutil

import pytest

from mlseg import main, predict
from mlseg.files import read_csv
from mlseg.models.encoders import efficientnet_lite
from mlseg.workdir import skipped_table
from tests.data import layouts

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "strong.py"
DAMAGED = "0003-l"
TINY = {
  "num_epochs": 2, "batch_size": 8, "data.image_size": 32, "data.fractions": (0.5, 0.25, 0.25),
  "model.decoder_filters": (8, 8, 8, 8, 8), "metrics.num_processes": 1,
  "model.pretrained": "none",  # of a network with fewer blocks there are no weights
}  # fmt: skip


@pytest.mark.slow
def test_one_command_leaves_an_ensemble_a_report_and_a_run_to_predict_with(
  tmp_path, capfd, monkeypatch
):
  groups = tuple((filters, 1, *rest) for filters, _, *rest in efficientnet_lite._GROUPS)
  monkeypatch.setattr(efficientnet_lite, "_GROUPS", groups)  # a third of the time to compile
  root, run = layouts.bus_bra(tmp_path / "data", num_patients=16), tmp_path / "run"
  picture = root / "Images" / f"bus_{DAMAGED}.png"
  picture.write_bytes(picture.read_bytes()[:300])
  settings = TINY | {"data.root": root}
  settings |= {f"data.folder.{name}": value for name, value in layouts.BUS_BRA.items()}
  flags = [f"--config.{name}={value}" for name, value in settings.items()]
  command = ["main", f"--config={CONFIG}:folder", f"--workdir={run}", *flags]
  assert main.main(command) == 0, capfd.readouterr().err

  results = json.loads((run / "results.json").read_text())
  assert results["seeds"] == [0, 1, 2]
  assert results["ensemble"]["num_models"] == 3
  parts = list(json.loads((run / "split.json").read_text())["seeds"].values())
  assert parts[0] == parts[1] == parts[2]
  sides = [{name.partition("-")[0] for name in part} for part in parts[0].values()]
  assert sum(map(len, sides)) == 16  # no patient is on two sides
  tested = {row["id"] for row in read_csv(run / "ensemble_cases.csv")}
  assert tested == set(parts[0]["test"])
  (left_out,) = skipped_table.read(run)
  assert f"bus_{DAMAGED}.png" in left_out[0]
  page = (run / "report" / "index.html").read_text()
  assert DAMAGED in page.replace("<wbr>", "")

  new = tmp_path / "new"
  new.mkdir()
  shutil.copy(root / "Images" / "bus_0001-l.png", new)
  out = tmp_path / "out"
  assert predict.main(["predict", f"--workdir={run}", f"--images={new}", f"--out={out}"]) == 0
  assert (out / "masks" / "bus_0001-l.png").exists()
