"""The cohort with a planted signal: its files, what tells the classes, labels, and mistakes."""

import csv
import math
import pathlib
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from mlseg.data import planted_lesion, response_cohort
from mlseg.data.datasets import manifest
from mlseg.data.diameter import longest_diameter
from mlseg.data.response_cohort import CohortPlan
from mlseg.errors import UserError
from mlseg.io import volumes
from mlseg.metrics import roc_auc
from tests.data.made_ct import SHAPE, SPACING, lung_and_chest, texture, write_background

PATIENTS = 160


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory):
  folder = tmp_path_factory.mktemp("backgrounds")
  tumour = np.zeros(SHAPE, np.uint8)
  tumour[4:6, 5:15, 5:15] = 1
  write_background(folder)
  write_background(folder, "one_mask.nii.gz", tumour)
  write_background(folder, "two.nii", lung_and_chest(1))
  return folder


@pytest.fixture(scope="module")
def cohort(backgrounds, tmp_path_factory):
  out = tmp_path_factory.mktemp("cohort") / "new" / "out"
  response_cohort.write(backgrounds, out, CohortPlan(PATIENTS))
  return out


def truth(folder):
  with (folder / "truth.csv").open(newline="") as file:
    return {row["patient"]: row for row in csv.DictReader(file)}


def test_a_cohort_is_read_as_any_other(cohort):
  rows, known = manifest.read(cohort / "manifest.csv"), truth(cohort)
  assert {path.name for path in cohort.iterdir()} == {
    "manifest.csv", *response_cohort.SHUFFLED, "truth.csv", "images", "masks"
  }  # fmt: skip
  assert [row.name for row in rows] == list(known) == [f"P{n:03d}" for n in range(1, PATIENTS + 1)]
  assert Counter(row["true_class"] for row in known.values()) == {
    "responder": PATIENTS // 2,
    "non_responder": PATIENTS // 2,
  }
  for row in rows:
    assert known[row.name]["flipped"] == str(int(row.label != known[row.name]["true_class"]))
  for row in rows[:10]:
    image, mask = volumes.read(row.image), volumes.read(row.mask)
    volumes.check_same_grid(image, mask, (str(row.image), str(row.mask)))
    assert image.spacing == pytest.approx(SPACING, rel=1e-5)
    inside = mask.values > 0
    millilitres = inside.sum() * np.prod(SPACING) / 1000
    assert row.covariates == {
      "lesion_ml": pytest.approx(millilitres, abs=1e-3),
      "diameter_mm": pytest.approx(longest_diameter(inside, SPACING[1:]), abs=0.01),
      "mean_hu": pytest.approx(image.values[inside].mean(), abs=0.01),
    }


def error(area):
  """Returns the standard error of an area under the ROC curve (Hanley & McNeil 1982)."""
  half = PATIENTS / 2
  shared = (
    area / (2 - area) + 2 * area**2 / (1 + area) - 2 * area**2
  )  # by pairs with a case in both
  return math.sqrt((area * (1 - area) + (half - 1) * shared) / half**2)


def test_the_texture_tells_the_classes_and_neither_size_nor_mean_does(cohort):
  rows, known = manifest.read(cohort / "manifest.csv"), truth(cohort)
  classes = np.array([int(known[row.name]["true_class"] == "non_responder") for row in rows])
  measured = []
  for row in rows:
    planted = planted_lesion.Planted(volumes.read(row.image), volumes.read(row.mask), 0)
    measured.append(texture(planted).std())
  half = PATIENTS / 2
  ratio = math.log(planted_lesion.MEDIANS["non_responder"] / planted_lesion.MEDIANS["responder"])
  expected = NormalDist().cdf(ratio / (planted_lesion.SPREAD * math.sqrt(2)))
  assert expected == pytest.approx(0.9, abs=0.005)
  assert roc_auc(classes, np.array(measured)) == pytest.approx(expected, abs=3 * error(expected))
  for name, median in planted_lesion.MEDIANS.items():
    logs = [
      math.log(float(r["heterogeneity_hu"])) for r in known.values() if r["true_class"] == name
    ]
    bound = 3 * planted_lesion.SPREAD / math.sqrt(half)
    assert np.mean(logs) == pytest.approx(math.log(median), abs=bound)
    assert np.std(logs) == pytest.approx(planted_lesion.SPREAD, abs=bound)
  for name in ("lesion_ml", "diameter_mm", "mean_hu"):
    scores = np.array([row.covariates[name] for row in rows])
    assert roc_auc(classes, scores) == pytest.approx(0.5, abs=2.5 * error(0.5))


def test_labels_are_flipped_as_often_as_asked_in_both_classes():
  count = 8000
  true = response_cohort.draw_labels(CohortPlan(count, label_noise=0)).true_classes
  for noise in (0.0, 0.1, 0.5):
    drawn = response_cohort.draw_labels(CohortPlan(count, label_noise=noise))
    assert drawn.true_classes == true  # whatever the noise
    assert Counter(drawn.true_classes) == dict.fromkeys(response_cohort.CLASSES, count // 2)
    bound = 4 * math.sqrt(noise * (1 - noise) / (count / 2))
    for name in response_cohort.CLASSES:
      pairs = [pair for pair in zip(*drawn[:2], strict=True) if pair[0] == name]
      assert np.mean([a != b for a, b in pairs]) == pytest.approx(noise, abs=bound)


def test_shuffled_labels_say_nothing_of_the_class():
  count = 8000
  drawn = response_cohort.draw_labels(CohortPlan(count))
  assert len(drawn.shuffled) == len(response_cohort.SHUFFLED)
  for place, shuffled in enumerate(drawn.shuffled):
    assert Counter(drawn.labels) == Counter(shuffled)
    for others in (drawn.true_classes, drawn.labels, *drawn.shuffled[:place]):
      agree = np.mean([a == b for a, b in zip(others, shuffled, strict=True)])
      assert agree == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(count))


def contents(folder, pattern):
  return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob(pattern))}


def test_a_seed_gives_the_same_bytes_and_noise_the_same_pictures(backgrounds, tmp_path):
  for name, options in {
    "a": CohortPlan(12, seed=3), "b": CohortPlan(12, seed=3), "other": CohortPlan(12, seed=4),
    "noise": CohortPlan(12, seed=3, label_noise=0.4),
  }.items():  # fmt: skip
    response_cohort.write(backgrounds, tmp_path / name, options)
  assert contents(tmp_path / "a", "*.*") == contents(tmp_path / "b", "*.*")
  pictures = contents(tmp_path / "a", "*.nii.gz")
  assert len(pictures) == 24
  assert contents(tmp_path / "noise", "*.nii.gz") == pictures
  assert contents(tmp_path / "noise", "manifest.csv") != contents(tmp_path / "a", "manifest.csv")
  other = contents(tmp_path / "other", "*.nii.gz")
  assert not set(other.values()) & set(pictures.values())
  plain = manifest.read(tmp_path / "a" / "manifest.csv")
  for name in response_cohort.SHUFFLED:
    null = manifest.read(tmp_path / "a" / name)
    assert Counter(row.label for row in plain) == Counter(row.label for row in null)
    assert [row.label for row in plain] != [row.label for row in null]
    assert [row._replace(label="") for row in plain] == [row._replace(label="") for row in null]


def run(capsys, *arguments):
  """Returns the exit code and what was printed and complained of."""
  code = response_cohort.main(["response_cohort", *map(str, arguments)])
  return code, *capsys.readouterr()


def test_the_command_writes_a_cohort(backgrounds, tmp_path, capsys):
  out = tmp_path / "out"
  out.mkdir()  # empty, which is allowed
  arguments = [f"--backgrounds={backgrounds}", f"--out={out}", "--patients=6", "--seed=3"]
  arguments += ["--label_noise=0"]
  assert run(capsys, *arguments) == (0, f"{out}\n", "")
  assert len(manifest.read(out / "manifest.csv")) == 6
  assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing temporary is left
  expected = response_cohort.draw_labels(CohortPlan(6, 3, 0))
  assert [row.label for row in manifest.read(out / "manifest.csv")] == expected.labels
  code, _, complaint = run(capsys, *arguments)
  assert code == 2
  assert complaint == (
    f"mlseg.data.response_cohort: --out must be a new or empty folder, not {out}\n"
  )


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--patients=3", "--patients must be at least 4, not 3"),
    ("--patients=many", "patients"),
    ("--seed=-1", "--seed must not be negative, not -1"),
    ("--label_noise=0.6", "--label_noise must be from 0 to 0.5, not 0.6"),
    ("--label_noise=-0.1", "--label_noise must be from 0 to 0.5, not -0.1"),
    ("--label_noise=nan", "--label_noise must be from 0 to 0.5, not nan"),
    ("--noise=0.1", "noise"),
    ("more", "unknown argument 'more'"),
    ("--out=", "--backgrounds and --out are needed"),
    ("--backgrounds=", "--backgrounds and --out are needed"),
    ("--backgrounds=nowhere", "--backgrounds must be a folder, not nowhere"),
  ],
)
def test_wrong_arguments_are_named_on_one_line(backgrounds, tmp_path, capsys, argument, message):
  sound = [f"--backgrounds={backgrounds}", f"--out={tmp_path / 'out'}", "--patients=4"]
  code, printed, complaint = run(capsys, *sound, argument)
  assert (code, printed) == (2, "")
  assert complaint.startswith("mlseg.data.response_cohort: ")
  assert message in complaint
  assert complaint.count("\n") == 1
  assert not list(tmp_path.iterdir())


def only_masks(folder):
  (folder / "one_image.nii.gz").rename(folder / "one_mask.nii.gz")


def small(folder):
  write_background(folder, values=lung_and_chest(shape=(12, 48, 40)))


def broken(folder):
  (folder / "two.nii").write_bytes(b"no volume")


def shifted_mask(folder):
  write_background(folder, "one_mask.nii.gz", np.zeros(SHAPE, np.uint8), (4.0, 1.0, 0.8))


def air(folder):
  write_background(folder, values=np.full(SHAPE, -1000, np.int16))


@pytest.mark.parametrize(
  ("spoil", "message"),
  [
    (only_masks, "has no volume (*.nii, *.nii.gz) other than masks"),
    (small, "one_image.nii.gz: must extend over 40 mm along each axis, not 44 × 47 × 35.1 mm"),
    (broken, "two.nii: cannot be read as NIfTI"),
    (shifted_mask, "one_mask.nii.gz: does not lie on the grid of"),
    (air, "one_image.nii.gz: no position in lung or soft tissue"),
  ],
)
def test_wrong_backgrounds_are_named_and_nothing_is_left(tmp_path, capsys, spoil, message):
  folder, out = tmp_path / "ct", tmp_path / "out"
  write_background(folder)
  spoil(folder)
  code, _, complaint = run(capsys, f"--backgrounds={folder}", f"--out={out}", "--patients=4")
  assert code == 2
  assert message in complaint
  assert complaint.count("\n") == 1
  assert [path.name for path in tmp_path.iterdir()] == ["ct"]


def test_labels_that_are_all_the_same_are_refused():
  def same(seed):
    return len(set(response_cohort.draw_labels(CohortPlan(4, seed, 0.5)).labels)) < 2

  with pytest.raises(UserError, match=r"--seed \d+ gives all 4 patients the same label"):
    any(map(same, range(100)))


def test_an_image_finds_the_mask_beside_it(backgrounds):
  first, second = response_cohort.read_backgrounds(backgrounds)
  assert [pathlib.Path(one.name).name for one in (first, second)] == ["one_image.nii.gz", "two.nii"]
  assert (first.tumour.sum(), second.tumour.sum()) == (200, 0)
  np.testing.assert_array_equal(first.volume.values, lung_and_chest())
