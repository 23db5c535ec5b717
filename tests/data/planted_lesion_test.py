"""A lesion planted in a CT: where it lies, its edge, its texture, and what a class changes."""

import math

import numpy as np
import pytest
from scipy import ndimage

from mlseg.data import planted_lesion, response_cohort
from mlseg.errors import UserError
from mlseg.io import volumes
from tests.data.made_ct import SHAPE, SPACING, background, lung_and_chest, texture


def patients(backgrounds, count, label="responder", seed=0):
  rng = np.random.default_rng(seed)
  return [planted_lesion.make_patient(rng, backgrounds, label) for _ in range(count)]


def under(one, planted):
  """Returns the part of a background that a picture was made of, with its tumour, and mirrored."""
  offset = planted.image.affine[:3, 3] - one.volume.affine[:3, 3]
  low = np.linalg.solve(one.volume.affine[:3, :3], offset)
  np.testing.assert_allclose(low, np.rint(low), atol=1e-6)
  parts = tuple(
    slice(round(a), round(a) + n) for a, n in zip(low, planted.image.values.shape, strict=True)
  )
  values, tumour = one.volume.values[parts], one.tumour[parts]
  far = ~ndimage.binary_dilation(planted.mask.values, np.ones((3, 3, 3)), iterations=2)
  for step in (1, -1):
    if (values[..., ::step] == planted.image.values)[far].all():
      return values[..., ::step], tumour[..., ::step], step < 0
  raise AssertionError("the picture is no part of the background")


@pytest.mark.parametrize("tilt", [0.0, 1.5])
def test_a_patient_is_a_part_of_a_background_with_a_lesion_inside(tilt):
  one = background(tilt=tilt)
  drawn = patients([one], 20)
  origins, mirrored = set(), set()
  for planted in drawn:
    image, mask = planted.image, planted.mask
    volumes.check_same_grid(image, mask, ("image", "mask"))
    np.testing.assert_array_equal(image.affine[:3, :3], one.volume.affine[:3, :3])
    assert image.values.shape == (12, 48, 62)
    assert (image.values.dtype, mask.values.dtype) == (np.int16, np.uint8)
    assert set(np.unique(mask.values)) == {0, 1}
    for axis in range(3):  # it ends before the picture does
      assert not mask.values.take([0, -1], axis).any()
    assert ndimage.label(mask.values)[1] == 1
    mirrored.add(under(one, planted)[2])
    origins.add(tuple(image.affine[:3, 3]))
  assert mirrored == {False, True}
  assert len(origins) > 5


def test_lesions_have_the_radii_that_were_drawn():
  drawn = patients([background()], 40)
  for planted in drawn:
    voxels = planted.mask.values.sum() * np.prod(SPACING)
    radius = (voxels * 3 / 4 / np.pi) ** (1 / 3)
    assert 0.75 * 5 < radius < 1.25 * 15
  assert np.std([planted.mask.values.sum() for planted in drawn]) > 100


def test_an_edge_is_blended_over_one_voxel():
  edges = []
  one = background(np.full(SHAPE, -850, np.int16))
  for planted in patients([one], 10):
    changed = planted.image.values != -850
    inside = planted.mask.values > 0
    assert texture(planted).min() > -300  # none of the edge is in the mask
    ring = ndimage.binary_dilation(inside, np.ones((1, 3, 3))) & ~inside
    assert 0.2 < changed[ring].mean() < 0.95
    assert not changed[~ndimage.binary_dilation(inside, np.ones((3, 3, 3)), 2)].any()
    edges.append(np.median(planted.image.values[ring & changed]))
  assert -500 < np.mean(edges) < -300  # halfway between lung and soft tissue


def test_a_lesion_never_lies_on_a_true_tumour():
  tumour = np.zeros(SHAPE, bool)
  tumour[:, :24, :36] = True  # of which a wrong mirror image lies elsewhere
  one = background(tumour=tumour)
  for planted in patients([one], 10):
    _, tumour, _ = under(one, planted)
    assert not tumour[planted.mask.values > 0].any()


def test_a_lesion_lies_neither_in_air_nor_in_bone():
  values = lung_and_chest()
  values[:, :, :30], values[:, :, 50:] = -1000, 1000
  one = background(values)
  for planted in patients([one], 10):
    values, _, _ = under(one, planted)
    assert -950 < np.median(values[planted.mask.values > 0]) < 200


def test_where_there_is_no_position_the_background_is_named(monkeypatch):
  monkeypatch.setattr(planted_lesion, "TRIES", 10)
  with pytest.raises(UserError, match=r"background made: no position .* in 10 tries"):
    patients([background(tumour=np.ones(SHAPE, bool))], 1)
  for empty in (-1000, 1000):
    with pytest.raises(UserError, match="background made: no position in lung or soft tissue"):
      patients([background(np.full(SHAPE, empty, np.int16))], 1)


def test_classes_differ_in_nothing_but_the_strength_of_the_texture():
  shape = (44, 44, 44)
  one = [background(lung_and_chest(seed, shape), spacing=(1, 1, 1)) for seed in (0, 1)]
  for seed in range(5):
    weak, strong = (patients(one, 1, label, seed)[0] for label in ("responder", "non_responder"))
    np.testing.assert_array_equal(weak.mask.values, strong.mask.values)
    np.testing.assert_array_equal(weak.image.affine, strong.image.affine)
    outside = ~ndimage.binary_dilation(weak.mask.values, np.ones((3, 3, 3)), 2)  # of the edge too
    np.testing.assert_array_equal(weak.image.values[outside], strong.image.values[outside])
    assert strong.heterogeneity / weak.heterogeneity == pytest.approx(28 / 12)
    a, b = texture(weak).astype(float), texture(strong).astype(float)
    assert a.mean() == pytest.approx(b.mean(), abs=0.1)
    assert np.polyfit(a, b, 1)[0] == pytest.approx(28 / 12, rel=0.01)
    assert np.corrcoef(a, b)[0, 1] > 0.999


@pytest.mark.parametrize("around", [-850, 45])
def test_the_texture_is_as_strong_as_it_says_whatever_is_around(around):
  one = [background(np.full(SHAPE, around, np.int16))]
  for planted in patients(one, 10, "non_responder"):
    assert texture(planted).std() == pytest.approx(planted.heterogeneity, rel=0.02)


@pytest.mark.parametrize("spacing", [(5.0, 0.6, 1.0), (1.0, 2.0, 0.5)])
def test_the_field_is_correlated_in_mm_along_every_axis(spacing):
  shape, correlation = (60, 80, 100), 2.0
  field = planted_lesion.random_field(np.random.default_rng(0), shape, spacing, correlation)
  # What are independent voxels in this many? The error of a mean of products follows.
  blob = np.prod([max(1, correlation * math.sqrt(math.pi) / step) for step in spacing])
  error = 4 * math.sqrt(blob / field.size)
  assert abs(field.mean()) < error
  assert field.var() == pytest.approx(1, abs=error)
  for axis, step in enumerate(spacing):
    for lag in (1, 2, 4):
      found = (field * np.roll(field, lag, axis)).mean()
      assert found == pytest.approx(math.exp(-((lag * step / correlation) ** 2)), abs=error)


def test_a_class_or_backgrounds_that_are_not_there_are_named():
  with pytest.raises(
    UserError, match="unknown class 'cured': choose from non_responder, responder"
  ):
    patients([background()], 1, "cured")
  with pytest.raises(UserError, match="backgrounds must not be empty"):
    patients([], 1)


@pytest.mark.shared
def test_lesions_lie_in_real_ct_off_its_tumours(shared):
  found = response_cohort.read_backgrounds(shared / "data/ct")
  assert [one.tumour.any() for one in found] == [True, True]
  for one in found:
    for planted in patients([one], 3):
      _, tumour, _ = under(one, planted)
      assert not tumour[planted.mask.values > 0].any()
      assert planted.image.spacing == pytest.approx(one.volume.spacing)
      assert 24 <= planted.image.values.shape[0] <= 40
      assert max(planted.image.values.shape) <= 100
