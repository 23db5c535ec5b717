"""The Python interface gives what the command writes."""

import csv
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest

import mlseg
from mlseg import predict
from mlseg.errors import UserError
from tests.prediction.made import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """Returns a folder of grey and coloured images of several sizes and types."""
  folder = tmp_path_factory.mktemp("images")
  rng = np.random.default_rng(0)
  for name, shape, high, kind in (
    ("a.png", (40, 50), 256, np.uint8), ("b.png", (33, 70, 3), 256, np.uint8),
    ("c.png", (64, 64), 4000, np.uint16), ("d.png", (20, 20), 256, np.uint8),
  ):  # fmt: skip
    smooth = cv2.GaussianBlur(rng.integers(0, high, shape).astype(kind), (0, 0), 2.0)
    cv2.imwrite(str(folder / name), smooth)
  return folder


def test_predictions_are_those_of_the_command(run, images, tmp_path):
  words = [f"--workdir={run}", f"--images={images}", f"--out={tmp_path / 'out'}"]
  assert predict.main(["mlseg", *words]) == 0
  with open(tmp_path / "out" / "predictions.csv", encoding="utf-8") as file:
    rows = {row["file"]: row for row in csv.DictReader(file)}
  names = sorted(rows)
  found = mlseg.load(run).predict([images / name for name in names], batch_size=3, flips=True)
  assert len(found) == 4
  for name, own in zip(names, found, strict=True):
    mask = cv2.imread(str(tmp_path / "out" / rows[name]["mask"]), 0)
    np.testing.assert_array_equal(np.where(own.mask > 0, 255, 0), mask)
    (region,) = own.regions
    assert region["class"] == "lesion"
    for column in ("area_pixels", "components"):
      assert region[column] == int(rows[name][column])
    for column in ("area_fraction", "mean_probability", "flip_spread", "seed_spread"):
      assert region[column] == pytest.approx(float(rows[name][column]), abs=1e-6)


def test_an_array_is_predicted_as_its_file(run, images):
  model = mlseg.load(run, device="cpu")
  for name in ("a.png", "b.png", "c.png"):
    stored = cv2.imread(str(images / name), cv2.IMREAD_UNCHANGED)
    array = stored[..., ::-1] if stored.ndim == 3 else stored
    one, other = model.predict(array), model.predict(str(images / name))
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_probabilities_and_entropy_have_the_size_of_the_image(run, images):
  found = mlseg.load(run).predict(images / "a.png")
  assert found.probabilities.shape == (40, 50, 2)
  np.testing.assert_allclose(found.probabilities.sum(-1), 1.0, atol=1e-5)
  np.testing.assert_array_equal(found.probabilities.argmax(-1), found.mask)
  share = np.clip(found.probabilities.astype(np.float64), 1e-30, 1)
  expected = -(share * np.log2(share)).sum(-1)  # of two classes, in bits
  np.testing.assert_allclose(found.entropy, expected, atol=1e-6)
  assert (found.diagnosis, found.diagnoses) == (None, None)
  assert found.regions[0]["flip_spread"] is None


def test_the_run_says_what_it_is(run):
  model = mlseg.load(run, views="flips", device=jax.devices()[0])
  assert model.class_names == ("background", "lesion")
  assert (model.seeds, model.label_names, model.input_size) == ((0, 3), (), 32)
  assert model.predict([]) == []


def test_patches_keep_the_size_of_the_image(tmp_path, images):
  run = write_run(tmp_path, "data.patch_size=32", "data.image_size=32")
  model = mlseg.load(run)
  one = model.predict([images / "a.png", images / "c.png"], batch_size=2)
  assert [own.mask.shape for own in one] == [(40, 50), (64, 64)]


@pytest.mark.parametrize(
  ("image", "message"),
  [
    (np.zeros((2, 8, 8, 3)), r"an image must be \[H, W\] or \[H, W, 3\], not of shape \(2, 8, 8"),
    (np.zeros((8, 8, 4)), r"not of shape \(8, 8, 4\)"),
    (np.zeros((0, 8)), r"not of shape \(0, 8\)"),
    (None, "an image must be an array of numbers or a file, not NoneType"),
    ("/no/such.png", r"/no/such\.png: cannot be read"),
  ],
)
def test_a_wrong_image_is_refused(run, image, message):
  with pytest.raises(UserError, match=message):
    mlseg.load(run).predict(image)


def test_wrong_arguments_are_refused(run, tmp_path):
  with pytest.raises(UserError, match="batch_size must be at least 1, not 0"):
    mlseg.load(run).predict([], batch_size=0)
  with pytest.raises(UserError, match="unknown views 'two': choose from flips, horizontal, one"):
    mlseg.load(run, views="two")
  with pytest.raises(UserError, match="device 'abacus' is not here; jax finds cpu"):
    mlseg.load(run, device="abacus")
  with pytest.raises(UserError, match="does not exist"):
    mlseg.load(tmp_path / "no")


def test_the_library_does_not_load_what_load_needs():
  code = "import sys, mlseg.weighting; assert 'cv2' not in sys.modules; import mlseg; mlseg.load"
  subprocess.run([sys.executable, "-c", code], check=True)
  with pytest.raises(AttributeError, match="has no attribute 'lode'"):
    _ = mlseg.lode
