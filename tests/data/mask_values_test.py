"""What values of masks mean: two of any kind are a lesion, and what is ambiguous is refused."""

import pathlib

import cv2
import numpy as np
import pytest

from mlseg.data import mask_values
from mlseg.errors import UserError
from mlseg.io.pictures.picture import Stored

PATH = pathlib.Path("m.png")
ROWS, COLUMNS = np.mgrid[:40, :48]
DISC = (ROWS - 20) ** 2 + (COLUMNS - 22) ** 2 < 100
JPEG = cv2.imdecode(
  cv2.imencode(".jpg", DISC * np.uint8(255), [cv2.IMWRITE_JPEG_QUALITY, 60])[1],
  cv2.IMREAD_GRAYSCALE,
)
RED = np.dstack([DISC * np.uint8(255), *[np.zeros_like(DISC, np.uint8)] * 2])
LABELS = DISC.astype(np.uint8) + (COLUMNS > 22) * DISC  # 0, 1, 2


def _lesion(values, kind="labels", indices=None):
  return mask_values.lesion(Stored(np.asarray(values), indices=indices), PATH, kind)


@pytest.mark.parametrize(
  ("values", "value"),
  [
    (DISC.astype(np.uint8), "1"),
    (DISC * np.uint8(255), "255"),
    (DISC * np.uint8(254), "254"),
    (DISC * np.uint16(65535), "65535"),
    (DISC * np.float32(0.9999), "0.9999"),
    (RED, "#ff0000"),
    (np.repeat((DISC * np.uint8(255))[..., None], 3, -1), "255"),
    (JPEG, "255"),
    (np.repeat(JPEG[..., None], 3, -1), "255"),
    (np.where(DISC, 250, 3).astype(np.uint8), "255"),
  ],
)
def test_two_values_are_background_and_lesion_whatever_they_are(values, value):
  found = _lesion(values)
  assert found.value == value
  assert (found.pixels == DISC).mean() > 0.99
  if value != "255":
    np.testing.assert_array_equal(found.pixels, DISC)


def test_one_value_is_all_or_nothing():
  assert not _lesion(DISC * np.uint8(0)).pixels.any()
  assert _lesion(DISC * np.uint8(0)).value == ""
  assert _lesion(np.full((4, 4), 7, np.uint8)).pixels.all()


def test_indices_count_where_all_colours_of_a_palette_are_the_same():
  black = np.zeros((*DISC.shape, 3), np.uint8)
  np.testing.assert_array_equal(_lesion(black, indices=DISC.astype(np.uint8)).pixels, DISC)


@pytest.mark.parametrize("kind", ["labels", "binary"])
@pytest.mark.parametrize(
  ("values", "text"),
  [
    (LABELS, "3 values (0, 1, 2)"),
    (LABELS * np.uint8(85), "3 values (0, 85, 170)"),
    (DISC + np.uint8(1), "2 values (1, 2)"),
    (DISC.astype(np.int16) * 2 - 1, "2 values (-1, 1)"),
    (np.dstack([RED[..., 0], (LABELS == 2) * np.uint8(255), RED[..., 1]]), "3 colours (#000000,"),
    (DISC * np.where(COLUMNS > 22, 0.5, 0.7), "3 values (0, 0.5, 0.7)"),
  ],
)
def test_what_can_mean_several_things_is_refused(values, text, kind):
  with pytest.raises(UserError) as caught:
    _lesion(values, kind)
  assert str(caught.value).startswith(f"m.png: has {text}")


@pytest.mark.parametrize(
  "values", [LABELS * np.uint8(127), np.where(LABELS == 2, 255, LABELS).astype(np.uint8)]
)
def test_labels_beside_255_are_not_noise(values):
  with pytest.raises(UserError, match="has 3 values"):
    _lesion(values)


def test_values_that_are_not_finite_are_refused():
  with pytest.raises(UserError, match="not finite"):
    _lesion(np.where(DISC, 1.0, np.nan))


def test_wide_edges_are_taken_where_there_are_no_labels():
  soft = cv2.GaussianBlur(DISC * np.uint8(255), (0, 0), 2)
  with pytest.raises(UserError, match="values"):
    _lesion(soft)
  np.testing.assert_array_equal(_lesion(soft, "binary").pixels, soft >= 128)


@pytest.mark.parametrize(
  ("values", "expected"),
  [((0, 127, 128), (0, 0, 1)), ((0, 1, 1), (0, 1, 1)), ((0, 0), (0, 0)), ((90, 90), (0, 0))],
)
def test_probabilities_are_halved_and_classes_are_kept(values, expected):
  assert _lesion(np.array([values], np.uint8), "probabilities").pixels.tolist() == [list(expected)]


def test_objects_keep_their_numbers():
  np.testing.assert_array_equal(mask_values.objects(Stored(LABELS.astype(np.uint16)), PATH), LABELS)
  for wrong in (LABELS.astype(np.uint16) * 300, RED):
    with pytest.raises(UserError, match=r"m\.png: (has other values|is in colour)"):
      mask_values.objects(Stored(wrong), PATH)


@pytest.mark.parametrize(
  ("values", "label", "threshold", "expected"),
  [
    (LABELS[None] > 0, 0, 0, DISC),
    (DISC[None] * np.float32(1 / 255), 0, 0, DISC),
    (LABELS[None], 2, 0, LABELS == 2),
    (DISC[None].astype(np.int16) * 2 - 1, 1, 0, DISC),
    (DISC[None] * 0.8, 0, 0.5, DISC),
    (DISC[None] + 1e-7 * np.sin(COLUMNS), 0, 0.5, DISC),
  ],
)
def test_the_lesion_of_a_volume(values, label, threshold, expected):
  found = mask_values.volume_lesion(values, label, threshold)
  np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(
  ("values", "label", "message"),
  [
    (
      LABELS[None],
      0,
      r"has 3 values \(0, 1, 2\); .* choose it by config\.data\.cohort\.mask_label",
    ),
    (DISC[None].astype(np.int16) * 2 - 1, 0, r"has 2 values \(-1, 1\)"),
    (DISC[None] + 1e-7 * np.sin(COLUMNS), 0, r"has \d+ values .*\.\.\."),
    (DISC[None] * 0.5, 1, "mask_label needs whole numbers"),
  ],
)
def test_volumes_with_several_values_need_an_option(values, label, message):
  with pytest.raises(UserError, match=message):
    mask_values.volume_lesion(values, label, 0)


def test_masks_of_another_size_are_refused_or_resized():
  large = np.kron(DISC, np.ones((2, 2), bool))
  with pytest.raises(
    UserError, match=r"^m\.png: is 80×96, but its picture p is 40×48 .*mask_resize"
  ):
    mask_values.fit(large, PATH, DISC.shape, "p")
  for how in ("nearest", "area"):
    np.testing.assert_array_equal(mask_values.fit(large, PATH, DISC.shape, "p", how), DISC)
    assert mask_values.fit(DISC, PATH, (80, 96, 3), "p", how).mean() == pytest.approx(
      DISC.mean(), rel=0.05
    )
    with pytest.raises(UserError, match="another shape"):
      mask_values.fit(large.T, PATH, DISC.shape, "p", how)
  classes = mask_values.fit(np.kron(LABELS, np.ones((3, 3), int)), PATH, LABELS.shape, "p", "area")
  np.testing.assert_array_equal(classes, LABELS)


def test_by_area_the_larger_part_of_a_pixel_decides():
  mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], np.uint8)
  assert mask_values.fit(mask, PATH, (1, 2), "p", "area").tolist() == [[1, 0]]


def test_one_data_set_has_one_value_of_the_lesion():
  mask_values.check_values([("1", "a"), ("255", "b"), ("", "c"), ("254", "d"), ("#ffffff", "e")])
  with pytest.raises(UserError, match="different values of the lesion: 1 in a, 2 in b"):
    mask_values.check_values([("1", "a"), ("", "x"), ("2", "b"), ("1", "c")])
