"""Training on patches of pictures of different sizes: batches, whole pictures, prediction."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mlseg import main, predict
from mlseg.data import augmentation, padding
from mlseg.data.datasets import glas
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.training import batches
from tests.data.layouts import save

SIZES = ((40, 60), (36, 50), (45, 44))
TINY = {
  "data.glas.complete": "False",
  "data.patch_size": 30,
  "model.depth": 2,
  "model.filters": 4,
  "batch_size": 3,
  "num_epochs": 2,
  "num_seeds": 2,
  "data.fractions": "(0.5, 0.25, 0.25)",
}


def _grid(height, width):
  """Returns a painted grid: squares of a class, brighter to the right and below."""
  rows, columns = np.mgrid[:height, :width]
  mask = ((rows // 7 + columns // 7) % 2).astype(np.uint8)
  image = np.stack([100 + 100 * mask, rows, columns], -1)
  return image.astype(np.uint8), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Warwick-QU in small: pictures of three sizes."""
  root = tmp_path_factory.mktemp("glands") / glas.FOLDER
  lines = ["name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)"]
  for number in range(16):
    name = f"testA_{number}" if number < 4 else f"train_{number}"
    image, mask = _grid(*SIZES[number % 3])
    save(root / f"{name}.png", image)
    save(root / f"{name}_anno.png", mask)
    lines.append(f"{name},{number % 5}, {('benign', 'malignant')[number % 2]}, healthy")
  (root / glas.TABLE).write_text("\n".join(lines) + "\n")
  return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run") / "glands"
  overrides = [f"--config.{key}={value}" for key, value in TINY.items()]
  command = ["main", "--config=configs/glands.py", f"--config.data.root={folder}"]
  assert main.main([*command, f"--workdir={workdir}", *overrides]) == 0
  return workdir


def _config(folder, *more):
  overrides = [f"--config.{key}={value}" for key, value in TINY.items()]
  command = ["main", "--config=configs/glands.py", f"--config.data.root={folder}"]
  return parse.parse([*command, *overrides, *more])[0]


def test_pictures_keep_their_sizes(folder):
  cases = recipe_data.load_cases(
    recipe_data.read(_config(folder)), [recipe_losses.read(_config(folder)).targets]
  )
  assert cases.images.shape == (16, 45, 60, 3)
  for n, name in enumerate(cases.ids):
    image, mask = _grid(*SIZES[int(name.split("_")[1]) % 3])
    height, width = mask.shape
    np.testing.assert_array_equal(cases.images[n, :height, :width], image)
    np.testing.assert_array_equal(cases.masks[n, :height, :width], mask)
    assert (cases.masks[n, height:] == padding.IGNORED).all()
    assert (cases.masks[n, :, width:] == padding.IGNORED).all()
  heights, widths = padding.sizes(cases.masks)
  assert set(zip(heights.tolist(), widths.tolist(), strict=True)) == set(SIZES)


def test_patches_are_cut_from_within_their_pictures():
  images, masks = padding.stack(*zip(*(_grid(*size) for size in SIZES), strict=True))
  images, masks = jnp.asarray(images), jnp.asarray(masks)
  corners = set()
  cut = jax.jit(lambda key: augmentation.augment(key, images, masks, patch=30))
  for seed in range(60):
    patches, labels = cut(jax.random.key(seed))
    for n, (height, width) in enumerate(SIZES):
      row, column = (round(255 * float(patches[n, 0, 0, i])) for i in (1, 2))
      image, mask = _grid(height, width)
      window = np.s_[row : row + 30, column : column + 30]
      np.testing.assert_array_equal(np.rint(255 * np.asarray(patches[n])), image[window])
      np.testing.assert_array_equal(labels[n], mask[window])
      corners.add((n, row, column))
  rows = {row for n, row, _ in corners if n == 1}
  assert rows == set(range(36 - 30 + 1))


def test_patches_larger_than_their_picture_are_mirrored():
  image, mask = _grid(20, 24)
  patches, labels = augmentation.augment(
    jax.random.key(0), jnp.asarray(image)[None], jnp.asarray(mask)[None], patch=30
  )
  expected = np.pad(image, ((5, 5), (3, 3), (0, 0)), mode="reflect")
  np.testing.assert_array_equal(np.rint(255 * np.asarray(patches[0])), expected)
  np.testing.assert_array_equal(labels[0], np.pad(mask, ((5, 5), (3, 3)), mode="reflect"))


@pytest.mark.slow
def test_warped_patches_show_their_masks(folder):
  config = _config(folder)
  cases = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  data = batches.Data(batches.cases_of(cases), np.arange(16, dtype=np.int32))
  batch = batches.make_batch_at(experiment.read(config))(data, jax.random.key(3), jnp.int32(0))
  assert batch.images.shape == (3, 30, 30, 3)
  assert batch.valid is None
  assert set(np.unique(batch.masks)) == {0, 1}
  shown = (np.asarray(batch.images[..., 0]) * 255 - 100) / 100
  clear = np.abs(shown - 0.5) > 0.49
  assert clear.mean() > 0.4
  np.testing.assert_array_equal(shown[clear] > 0.5, batch.masks[clear] > 0)


@pytest.mark.slow
def test_whole_pictures_are_tested_within_their_borders(run):
  with (run / "cases.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 2 * 4 * 2  # seeds, test pictures, classes
  for row in rows:
    height, width = SIZES[int(row["id"].split("_")[1]) % 3]
    counts = [int(row[name]) for name in ("tp", "fp", "fn", "tn")]
    assert sum(counts) == height * width
    _, mask = _grid(height, width)
    assert counts[0] + counts[2] == (mask == (row["class"] == "gland")).sum()
  assert (run / "diagnoses.csv").exists()
  results = json.loads((run / "results.json").read_text())["metrics"]
  assert np.isfinite(results["dice"]["mean"])
  glands = [row for row in rows if row["class"] == "gland"]
  for name in ("object_f1", "object_dice", "object_hausdorff"):
    own = [float(row[name]) for row in glands]
    assert np.isfinite(own).all()
    np.testing.assert_allclose(results[name]["mean"], np.mean(own), rtol=1e-4)
    assert {row[name] for row in rows if row["class"] == "background"} == {"nan"}
  assert not (run / "saliency.npz").exists()


@pytest.mark.slow
def test_the_uncertainties_are_learned(run):
  last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
  assert len(last["weights"]) == 4
  assert any(weight != 1 for weight in last["weights"].values())


@pytest.mark.slow
def test_pictures_of_any_size_are_predicted_in_tiles(run, tmp_path, capsys):
  for name, size in (("small", (20, 33)), ("large", (70, 95))):
    save(tmp_path / "in" / f"{name}.png", _grid(*size)[0])
  command = ["predict", f"--workdir={run}", f"--images={tmp_path / 'in'}"]
  assert predict.main([*command, f"--out={tmp_path / 'out'}"]) == 0
  said = capsys.readouterr().out
  assert "30×30, in tiles" in said
  assert "s a picture" in said
  for name, size in (("small", (20, 33)), ("large", (70, 95))):
    with Image.open(tmp_path / "out" / "masks" / f"{name}.png") as mask:
      assert mask.size == size[::-1]
  with (tmp_path / "out" / "diagnoses.csv").open(newline="") as file:
    assert [row["file"] for row in csv.DictReader(file)] == ["large.png", "small.png"]
  assert not (tmp_path / "out" / "saliency").exists()


@pytest.mark.slow
def test_a_picture_is_predicted_as_it_would_be_alone(run, tmp_path, capsys):
  def diagnosis(source, out):
    command = ["predict", f"--workdir={run}", f"--images={source}", f"--out={tmp_path / out}"]
    assert predict.main(command) == 0
    with (tmp_path / out / "diagnoses.csv").open(newline="") as file:
      return {row["file"]: row for row in csv.DictReader(file)}

  rng = np.random.default_rng(0)
  for name, size in (("small", (20, 33)), ("large", (70, 95))):
    save(tmp_path / "in" / f"{name}.png", rng.integers(0, 256, (*size, 3), np.uint8))
  both = diagnosis(tmp_path / "in", "both")
  alone = diagnosis(tmp_path / "in" / "small.png", "alone")
  assert both["small.png"] == alone["small.png"] != both["large.png"]
  masks = [(tmp_path / out / "masks" / "small.png").read_bytes() for out in ("both", "alone")]
  assert masks[0] == masks[1]
