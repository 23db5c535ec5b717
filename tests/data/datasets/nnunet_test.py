"""nnU-Net's raw data and the Decathlon, in their published layouts, and wrong ones."""

import json

import cv2
import nibabel
import numpy as np
import pytest

from mlseg.data import in_memory, padding
from mlseg.data.datasets import nnunet
from mlseg.data.datasets.nnunet import NnunetOptions
from mlseg.errors import UserError


def _image(seed, shape=(20, 24), high=256):
  return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint8)


def _mask(shape=(20, 24), value=1):
  mask = np.zeros(shape, np.uint8)
  mask[4:9, 6:15] = value
  return mask


def _describe(folder, **keys):
  content = {
    "channel_names": {"0": "US"}, "labels": {"background": 0, "lesion": 1, "vessel": 2},
    "numTraining": 2, "file_ending": ".png",
  } | keys  # fmt: skip
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def pictures(tmp_path):
  """Returns 2-D raw data of nnU-Net."""
  root = tmp_path / "Dataset001_Breast"
  _describe(root)
  for name in ("imagesTr", "labelsTr", "imagesTs"):
    (root / name).mkdir()
  for n in range(2):
    cv2.imwrite(str(root / f"imagesTr/breast_{n:03d}_0000.png"), _image(n))
    cv2.imwrite(str(root / f"labelsTr/breast_{n:03d}.png"), _mask(value=n + 1))
  cv2.imwrite(str(root / "imagesTs/breast_009_0000.png"), _image(9))
  return root


def _save(path, values):
  affine = np.diag([-0.5, -0.5, 3.0, 1.0])
  path.parent.mkdir(parents=True, exist_ok=True)
  nibabel.save(nibabel.Nifti1Image(values, affine), path)


def _volume(seed, depth=5, channels=()):
  rng = np.random.default_rng(seed)
  return rng.integers(-100, 300, (24, 20, depth, *channels)).astype(np.int16)


def _labels(depth=5):
  labels = np.zeros((24, 20, depth), np.uint8)
  labels[6:12, 5:9, 1:3] = 1
  return labels


@pytest.fixture
def decathlon(tmp_path):
  """Returns a task of the Decathlon with two channels in a fourth axis."""
  root = tmp_path / "Task05_Prostate"
  listed = []
  for n in range(2):
    _save(root / f"imagesTr/prostate_{n:02d}.nii.gz", _volume(n, channels=(2,)))
    _save(root / f"labelsTr/prostate_{n:02d}.nii.gz", _labels())
    listed.append({
      "image": f"./imagesTr/prostate_{n:02d}.nii.gz",
      "label": f"./labelsTr/prostate_{n:02d}.nii.gz",
    })  # fmt: skip
  content = {
    "name": "Prostate", "tensorImageSize": "4D", "modality": {"0": "T2", "1": "ADC"},
    "labels": {"0": "background", "1": "PZ"}, "numTraining": 2, "training": listed, "test": [],
  }  # fmt: skip
  (root / "dataset.json").write_text(json.dumps(content))
  return root


def test_pictures_of_nnunet_are_read(pictures):
  source = nnunet.open_source(pictures, NnunetOptions())
  assert source.class_names == ("background", "lesion", "vessel")
  first, second = source.read()
  assert (first.id, second.id) == ("breast_000", "breast_001")
  np.testing.assert_array_equal(first.image, _image(0))
  np.testing.assert_array_equal(first.mask, _mask(value=1))
  assert set(np.unique(second.mask)) == {0, 2}
  colour = next(nnunet.open_source(pictures, NnunetOptions(channels=3)).read())
  assert colour.image.shape == (20, 24, 3)


def test_slices_of_the_decathlon_have_their_volume_as_patient(decathlon):
  source = nnunet.open_source(decathlon, NnunetOptions(channel=1, window=(-100.0, 299.0)))
  slices = list(source.read())
  assert [one.id for one in slices] == [
    "prostate_00_001", "prostate_00_002", "prostate_01_001", "prostate_01_002"
  ]  # fmt: skip
  assert {one.patient for one in slices} == {"prostate_00", "prostate_01"}
  first = slices[0]
  # The file's axes run to the right and to the back of the patient, and the slices upwards.
  values = _volume(0, channels=(2,))[:, :, 1, 1].T.astype(float)
  expected = np.rint((values + 100) / 399 * 255)
  np.testing.assert_allclose(first.image, expected, atol=1)
  np.testing.assert_array_equal(first.mask, _labels()[:, :, 1].T)


def test_all_slices_or_some_may_be_taken(decathlon):
  def count(**options):
    return len(list(nnunet.open_source(decathlon, NnunetOptions(**options)).read()))

  assert count(slices="all") == 10
  assert count(slices="all", every=2) == 6
  assert count(every=2) == 2


def test_without_a_window_percentiles_become_black_and_white(decathlon):
  first = next(nnunet.open_source(decathlon, NnunetOptions()).read())
  low, high = np.percentile(_volume(0, channels=(2,))[..., 0], (0.5, 99.5))
  values = _volume(0, channels=(2,))[:, :, 1, 0].T
  expected = ((values - low) / (high - low)).clip(0, 1) * 255
  np.testing.assert_allclose(first.image, expected, atol=1.01)


def test_channels_of_nnunet_are_files(tmp_path):
  root = tmp_path / "Dataset002"
  names = {"0": "T1", "1": "T2", "2": "FLAIR"}
  _describe(root, channel_names=names, labels={"background": 0, "tumour": 1}, file_ending=".nii.gz")
  for channel in range(3):
    _save(root / f"imagesTr/case_{channel:04d}.nii.gz", _volume(channel))
  _save(root / "labelsTr/case.nii.gz", _labels())
  example = next(nnunet.open_source(root, NnunetOptions(channels=3)).read())
  assert example.image.shape == (20, 24, 3)
  one = next(nnunet.open_source(root, NnunetOptions(channel=2)).read())
  np.testing.assert_array_equal(example.image[..., 2], one.image)


def test_a_whole_data_set_becomes_arrays(decathlon):
  arrays = in_memory.arrays_of(
    nnunet.open_source(decathlon, NnunetOptions()), 16,
    {"diameter": 0, "sigma_space": 2.0, "sigma_intensity": 25.0},
  )  # fmt: skip
  assert arrays["images"].shape == (4, 16, 16, 1)
  assert arrays["patients"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
  ("keys", "message"),
  [
    ({"labels": {"background": 0, "whole": [1, 2]}}, "'whole' is a region of several values"),
    (
      {"labels": {"background": 0, "ignore": 1, "lesion": 2}},
      "labels: 'ignore' must have the highest value, 2",
    ),
    ({"labels": {"background": 0, "ignore": 1}}, "2 to 254 classes, not 1"),
    (
      {"labels": {"background": 0, "lesion": 2}},
      r"labels must have the values 0, 1, 2, \.\.\., no",
    ),
    ({"labels": {"background": 0}}, "labels must have 2 to 254 classes, not 1"),
    ({"labels": {"background": 0, "lesion": "1"}}, "'lesion' must have a whole number, not '1'"),
    ({"channel_names": {"x": "US"}}, r"dataset\.json"),
    ({"file_ending": ".tif"}, "there is no case in labelsTr"),
    ({"labels": {"background": 0, "lesion": 1}}, "has the value 2, and dataset.json names 0 to 1"),
    ({"channel_names": {"0": "a", "1": "b"}}, "has no image breast_000_0001.png in imagesTr"),
  ],
)
def test_a_wrong_description_gets_one_line(pictures, keys, message):
  _describe(pictures, **keys)
  with pytest.raises(UserError, match=message):
    list(nnunet.open_source(pictures, NnunetOptions()).read())


def test_the_value_of_ignore_is_of_no_class(pictures):
  _describe(pictures, labels={"background": 0, "lesion": 1, "ignore": 2})
  source = nnunet.open_source(pictures, NnunetOptions())
  first, second = source.read()
  assert source.class_names == ("background", "lesion")
  np.testing.assert_array_equal(first.mask, _mask())
  np.testing.assert_array_equal(second.mask, _mask(value=padding.UNLABELLED))


def test_files_that_do_not_go_together_are_faults(pictures):
  (pictures / "labelsTr/breast_001.png").unlink()
  (pictures / "imagesTr/notes.txt").write_text("")
  source = nnunet.open_source(pictures, NnunetOptions())
  assert [fault.reason for fault in source.faults] == ["has no mask breast_001.png in labelsTr"]
  assert "notes.txt" in source.notes[0]


def test_files_of_the_list_must_be_there_and_below_the_folder(decathlon):
  content = json.loads((decathlon / "dataset.json").read_text())
  content["training"][0]["image"] = "./imagesTr/gone.nii.gz"
  (decathlon / "dataset.json").write_text(json.dumps(content))
  source = nnunet.open_source(decathlon, NnunetOptions())
  assert [fault.reason for fault in source.faults] == ["does not exist, which dataset.json names"]
  content["training"][0]["image"] = "../../etc/passwd"
  (decathlon / "dataset.json").write_text(json.dumps(content))
  with pytest.raises(UserError, match="is not below"):
    nnunet.open_source(decathlon, NnunetOptions())


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"channels": 2}, "config.data.nnunet.channels must be 1 or 3, not 2"),
    ({"channel": 2}, "config.data.nnunet.channel must be below 2, the channels of the data, not 2"),
    ({"slices": "some"}, "unknown config.data.nnunet.slices 'some': choose from all, labelled"),
    ({"window": (3.0, 1.0)}, r"config.data.nnunet.window must be \(low, high\) with low < high"),
  ],
)
def test_wrong_options_get_one_line(decathlon, options, message):
  with pytest.raises(UserError, match=message):
    nnunet.open_source(decathlon, NnunetOptions(**options))


def test_another_folder_is_refused(tmp_path):
  with pytest.raises(
    UserError, match=r"neither nnU-Net's raw data nor of the Decathlon: it has no"
  ):
    nnunet.open_source(tmp_path, NnunetOptions())
