"""The section `config.data`: parts of a data set, and the targets that losses read."""

import pathlib

import numpy as np
import pytest

from mlseg.data import cases as data_cases
from mlseg.data import targets
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import split as recipe_split
from mlseg.recipe.data import Targets
from tests.training import made

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
GROUPS = np.arange(24) // 2


def _recipe(*settings, recipe="smoke"):
  flags = [f"--config.data.{setting}" for setting in settings]
  return experiment.read(parse.content(["", f"--config={CONFIGS / recipe}.py", *flags])).data


def _split(recipe, seed=0, cases=None, batch_size=4):
  cases = cases or made.make_cases()
  return recipe_split.make_split(recipe, batch_size, cases, GROUPS, seed)


def _parts(split):
  return [set(part.tolist()) for part in split]


@pytest.mark.parametrize("settings", [(), ("num_folds=3",), ("split=random",)])
def test_the_parts_of_a_seed_are_all_cases_once(settings):
  parts = _parts(_split(_recipe(*settings)))
  assert sum(map(len, parts)) == len(set.union(*parts)) == 24


def test_cases_of_a_group_stay_together_unless_the_split_is_random():
  def crossed(*settings):
    parts = _parts(_split(_recipe(*settings)))
    return any(len({n - n % 2, n - n % 2 + 1} & part) == 1 for part in parts for n in range(24))

  assert not crossed()
  assert not crossed("num_folds=3")
  assert crossed("split=random")


def test_each_seed_has_a_split_of_its_own_unless_it_is_not_to_be_drawn_again():
  own, other = (_parts(_split(_recipe(), seed)) for seed in (0, 1))
  assert own != other
  kept = [_parts(_split(_recipe("resplit=False"), seed)) for seed in (0, 1)]
  assert kept[0] == kept[1] == own


def test_seeds_test_one_fold_after_another():
  recipe = _recipe("num_folds=3")
  tested = [_parts(_split(recipe, seed))[2] for seed in range(4)]
  assert len(set.union(*tested[:3])) == sum(map(len, tested[:3])) == 24
  assert tested[3] == tested[0]
  chosen = _recipe("num_folds=3", "fold=1")
  assert _parts(_split(chosen, 0))[2] == tested[1]


def test_a_published_test_part_is_kept():
  recipe, cases = _recipe("split=published"), made.make_cases()
  with pytest.raises(UserError, match="'busi' has no published test part"):
    _split(recipe, cases=cases)
  is_test = np.arange(24) >= 18
  split = _split(recipe, cases=cases._replace(is_test=is_test))
  assert sorted(split.test.tolist()) == list(range(18, 24))
  assert 3 <= len(split.validation) <= 4  # 18 × 0.15 / 0.85, by diagnosis


def test_a_batch_that_is_larger_than_the_training_part_is_refused():
  size = len(_split(_recipe()).train)
  with pytest.raises(UserError, match=f"{size + 1} is larger than the training set of {size}"):
    _split(_recipe(), batch_size=size + 1)


@pytest.mark.parametrize(
  ("name", "wanted"),
  [
    ("distances", Targets(distances=True)),
    ("instances", Targets(max_objects=3)),
    ("textures", Targets(texture="entropy")),
  ],
)
def test_targets_are_computed_where_a_recipe_reads_them(name, wanted, monkeypatch):
  cases = made.make_cases()
  monkeypatch.setattr(data_cases, "load", lambda name, **options: cases)
  for others in ((), (Targets(),)):
    found = recipe_data.load_cases(_recipe(), [*others, wanted])
    computed = {
      "distances": lambda: targets.signed_distances(cases.masks, 2),
      "instances": lambda: targets.number_objects(cases.masks, 3, None),
      "textures": lambda: targets.statistics(cases.images, cases.masks, "entropy"),
    }
    for target, compute in computed.items():
      if target == name:
        np.testing.assert_array_equal(getattr(found, target), compute())
      else:
        assert getattr(found, target) is None


@pytest.mark.parametrize(("bits", "pairs"), [(-1, 0), (4, 0), (5, 1), (255, 24 * 23 // 2)])
def test_a_data_set_says_what_is_a_near_duplicate(bits, pairs):
  cases = made.make_cases()._replace(duplicate_bits=bits)
  cases.hashes[3] = cases.hashes[8]
  cases.hashes[3, :5] ^= True
  found = recipe_data.find_near_duplicates(cases)
  assert len(found) == pairs
  assert ((3, 8, 5) in found) == (pairs > 0)


@pytest.mark.parametrize(
  ("setting", "message"),
  [
    ("image_size=0", "config.data.image_size must be at least 8, not 0"),
    ("image_size=7", "config.data.image_size must be at least 8, not 7"),
    ("image_size=-1", "config.data.image_size must be at least 8, not -1"),
    ("sixteen_bit=log", "unknown config.data.sixteen_bit 'log': choose from minmax, range"),
    (
      "mask_resize=cubic",
      "unknown config.data.mask_resize 'cubic': choose from area, nearest, refuse",
    ),
  ],
)
def test_what_is_wrong_is_named_before_the_data_are_read(setting, message):
  with pytest.raises(UserError) as caught:
    _recipe(setting)
  assert str(caught.value) == message


def test_a_recipe_of_before_a_key_existed_has_its_default():
  content = parse.content(["", f"--config={CONFIGS / 'smoke'}.py"])
  for name in ("sixteen_bit", "mask_resize", "skip_bad"):
    del content["data"][name]
  recipe = experiment.read(content).data
  assert (recipe.sixteen_bit, recipe.mask_resize, recipe.skip_bad) == ("minmax", "refuse", False)


def test_volumes_are_sampled_by_diagnosis_but_not_by_the_size_of_a_lesion():
  volumes = _recipe()._replace(name="cohort", diameter=0)
  recipe_data.check(volumes._replace(sampling="labels"))
  with pytest.raises(UserError, match=r"config\.data\.sampling must be 'shuffle' or 'labels' for"):
    recipe_data.check(volumes._replace(sampling="lesion_size"))
  with pytest.raises(UserError, match=r"unknown config\.data\.sampling 'often'"):
    recipe_data.check(_recipe()._replace(sampling="often"))


@pytest.mark.parametrize(
  ("known", "message"),
  [
    (("age", "volume_ml"), "no covariate 'agee': choose from age, volume_ml"),
    ((), "no covariate 'agee', nor any other"),
  ],
)
def test_a_covariate_that_the_manifest_lacks_is_named_before_training(monkeypatch, known, message):
  cases = made.make_cases()
  if known:
    cases = cases._replace(covariates=np.zeros((24, 2), np.float32), covariate_names=known)
  monkeypatch.setattr(data_cases, "load", lambda name, **options: cases)
  with pytest.raises(UserError, match=f"^config.model.covariates: the manifest has {message}$"):
    recipe_data.load_cases(_recipe(), [Targets(covariates=("agee",))])


def test_the_columns_of_covariates_are_in_the_order_of_the_recipe(monkeypatch):
  values = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
  cases = made.make_cases()._replace(covariates=values, covariate_names=("a", "b", "c"))
  monkeypatch.setattr(data_cases, "load", lambda name, **options: cases)
  found = recipe_data.load_cases(_recipe(), [Targets(), Targets(covariates=("c", "a"))])
  np.testing.assert_array_equal(found.network_covariates, values[:, [2, 0]])
  assert found.covariates is values  # all of them are in reports
  np.testing.assert_array_equal(found.covariates_of(np.array([5, 1])), values[[5, 1]][:, [2, 0]])
  assert recipe_data.load_cases(_recipe(), [Targets()]).network_covariates is None
