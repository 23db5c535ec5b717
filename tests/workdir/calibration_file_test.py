"""`calibration.json` is read as it was written, and a damaged one is refused."""

import json

import pytest

from mlseg.errors import UserError
from mlseg.workdir import calibration_file
from mlseg.workdir.calibration_file import Calibration, Calibrations, Confidence, Scaling

BEFORE = Confidence(0.2, 0.03, 0.9, (0, 5, 7), (None, 0.5, 0.9), (None, 0.4, 1.0))
SCALING = Scaling(1.25, 12, BEFORE, BEFORE._replace(ece=0.01, error_detection_auc=None))


def test_what_is_written_is_read(tmp_path):
  own = Calibration(SCALING, None)
  written = Calibrations({0: own, 3: Calibration(None, SCALING._replace(num_cases=None))}, own)
  calibration_file.write(tmp_path, written)
  assert calibration_file.read(tmp_path) == written
  calibration_file.write(tmp_path, Calibrations({0: own}, None))
  assert calibration_file.read(tmp_path).ensemble is None


@pytest.mark.parametrize(
  ("key", "value"),
  [("temperature", 0), ("temperature", "hot"), ("before", {}), ("num_cases", "x")],
)
def test_a_damaged_file_is_refused(tmp_path, key, value):
  calibration_file.write(tmp_path, Calibrations({0: Calibration(SCALING, None)}, None))
  path = tmp_path / "calibration.json"
  content = json.loads(path.read_text())
  content["seeds"]["0"]["pixels"][key] = value
  path.write_text(json.dumps(content))
  with pytest.raises(UserError, match=r"calibration\.json"):
    calibration_file.read(tmp_path)


def test_bins_must_have_one_length(tmp_path):
  broken = SCALING._replace(before=BEFORE._replace(counts=(1,)))
  calibration_file.write(tmp_path, Calibrations({0: Calibration(broken, None)}, None))
  with pytest.raises(UserError, match="must have the same length"):
    calibration_file.read(tmp_path)
