"""Single objects of test cases: known ones are taken as they are, others are connected regions."""

import numpy as np

from mlseg.recipe.experiment import Metrics
from mlseg.training import case_objects

OPTIONS = Metrics(
  surface=False,
  spacing=(1.0, 1.0),
  tolerance=0.0,
  objects=True,
  object_neck=0.0,
  object_size=3,
  num_processes=1,
)


def test_glands_that_touch_are_two_where_their_numbers_are_known():
  known = np.zeros((20, 30), np.uint8)
  known[5:15, 5:15], known[5:15, 15:25] = 7, 3
  mask = (known > 0).astype(np.uint8)
  predicted = mask.copy()
  predicted[0, 0] = 1  # smaller than an object
  (alone,) = case_objects.match([predicted], [mask], 2, OPTIONS)
  assert (alone[0].tp, alone[0].fp, alone[0].fn) == (1, 0, 0)
  (numbered,) = case_objects.match([predicted], [mask], 2, OPTIONS, [known])
  # One region covers just half of each: it is the partner of one, and the other is missed.
  assert (numbered[0].tp + numbered[0].fp, numbered[0].tp + numbered[0].fn) == (1, 2)
  scores = case_objects.of_cases([numbered])
  np.testing.assert_allclose(scores["object_dice"][0, 1], (2 / 3 + 2 / 3) / 2)
  assert np.isnan(scores["object_dice"][0, 0])


def test_numbers_of_one_class_are_not_those_of_another():
  known = np.array([[1, 1, 1, 0, 2, 2, 2]])
  mask = np.array([[1, 1, 1, 0, 2, 2, 2]])
  found = case_objects.match([mask], [mask], 3, OPTIONS, [known])
  assert [[(one.tp, one.fp, one.fn) for one in of_class] for of_class in found] == [[(1, 0, 0)]] * 2
