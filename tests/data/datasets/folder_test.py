"""Any folder by naming patterns: published layouts, options, cache."""

import re
import shlex

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mlseg.data import in_memory
from mlseg.data.datasets import folder
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from tests.data import layouts
from tests.data.layouts import load, options_of, picture, plain, save
from tests.recipe.configs_test import CONFIGS, _module


def _commands():
  """Returns the commands of the recipe's docstring, as lists of words without 'python -m'."""
  text = _module(CONFIGS[0].with_name("folder.py")).__doc__
  blocks = re.findall(r"python -m mlseg\.(main (?:.*\n)+?)(?:\n|$)", text)
  return [shlex.split(block.replace("\n        ", " ").replace("\\ ", " ")) for block in blocks]


LAYOUTS = [layouts.PLAIN, layouts.BUS_BRA, layouts.KVASIR, layouts.ISIC, layouts.BY_COLOUR]


@pytest.mark.parametrize("number", range(5))
def test_the_commands_of_the_recipe_are_those_that_are_tested(number, monkeypatch):
  monkeypatch.chdir(CONFIGS[0].parent.parent)
  commands = _commands()
  assert len(commands) == len(LAYOUTS)
  config, _ = parse.parse(commands[number])
  assert folder.FolderOptions(**dict(config.data.folder)) == options_of(**LAYOUTS[number])


def test_linked_folders_are_read_once_and_hidden_ones_never(tmp_path):
  plain(tmp_path / "real")
  (tmp_path / "data").mkdir()
  for name in ("images", "masks"):
    (tmp_path / "data" / name).symlink_to(tmp_path / "real" / name)
  (tmp_path / "real" / "images" / "loop").symlink_to(tmp_path / "data")
  save(tmp_path / "data" / ".trash" / "5.png", np.zeros((4, 4)))
  assert load(tmp_path / "data", images="*/{name}.png", masks="masks/{name}.png").ids == (
    "1", "2", "3", "4"
  )  # fmt: skip


def test_bus_bra(tmp_path):
  data = load(layouts.bus_bra(tmp_path / "BUSBRA"), **layouts.BUS_BRA)
  assert data.ids[:3] == ("0001-l", "0001-r", "0002-l")
  assert data.label_names == ("benign", "malignant")
  assert data.labels.tolist() == [1, 1, 0, 0] * 4
  assert data.images.shape == (16, 32, 32, 1)
  assert data.masks.any((1, 2)).all()
  assert data.patients.tolist()[:4] == [data.patients[0]] * 2 + [data.patients[2]] * 2
  assert len(set(data.patients.tolist())) == 8


def test_bus_bra_says_which_file_it_did_not_read(tmp_path):
  root = layouts.bus_bra(tmp_path / "BUSBRA")
  data = load(root, **layouts.BUS_BRA)
  assert data.notes == ("1 file matches no pattern of config.data.folder: 5-fold-cv.csv",)
  graded = load(root, **(layouts.BUS_BRA | {"label_column": "BIRADS"}))
  assert graded.label_names == ("2", "3", "4", "5")
  assert graded.labels.tolist() == [1, 1, 2, 2, 3, 3, 0, 0] * 2


def test_otu_has_eight_classes_and_one_damaged_file(tmp_path):
  root, damaged = layouts.otu(tmp_path / "OTU_2d")
  with pytest.raises(UserError, match=rf"^{root}/image/{damaged}\.JPG: is not a readable picture"):
    load(root, **layouts.OTU)
  data = load(root, skip_bad=True, **layouts.OTU)
  assert [fault.file for fault in data.skipped] == [f"{root}/image/{damaged}.JPG"]
  assert data.ids == tuple(str(n) for n in range(1, 17) if n != damaged)
  assert data.class_names == tuple(name for name, _ in layouts.OTU_CLASSES)
  assert set(data.label_names) == set(data.class_names[1:])
  assert data.notes == ()
  for mask, label in zip(data.masks, data.labels, strict=True):
    own = data.class_names.index(data.label_names[label])
    assert np.unique(mask[mask != 255]).tolist() == [0, own]


def test_several_colours_may_be_one_class(tmp_path):
  root, _ = layouts.otu(tmp_path / "OTU_2d")
  colours = tuple(colour for _, colour in layouts.OTU_CLASSES[1:])
  classes = (("background", "#000000"), ("tumour", colours))
  data = load(root, skip_bad=True, **(layouts.OTU | {"classes": classes}))
  options = {"masks": "label/{name}_binary.PNG", "ignored": (), "classes": options_of().classes}
  binary = load(root, skip_bad=True, **(layouts.OTU | options))
  assert binary.notes[0].startswith("16 files match no pattern of config.data.folder: label/1.PNG")
  np.testing.assert_array_equal(data.masks, binary.masks)
  with pytest.raises(UserError, match=r"#000000 is of two classes"):
    load(root, **(layouts.OTU | {"classes": (("a", "#000000"), ("b", ("#ff0000", "#000000")))}))


def test_patients_stay_on_one_side_of_the_split(tmp_path):
  data = load(layouts.bus_bra(tmp_path / "BUSBRA", num_patients=20), **layouts.BUS_BRA)
  group = grouped.groups(len(data.ids), grouped.near_duplicates(data.hashes), data.patients)
  for seed in range(5):
    parts = grouped.split(data.labels, group, seed=seed, fractions=(0.6, 0.2, 0.2))
    sides = [set(data.patients[part].tolist()) for part in parts]
    assert sum(map(len, sides)) == 20


def test_kvasir_with_noisy_masks(tmp_path):
  root, masks = layouts.kvasir(tmp_path / "Kvasir-SEG")
  noisy = np.asarray(Image.open(root / "masks" / "cju0.jpg"))
  assert len(np.unique(noisy)) > 2
  data = load(root, image_size=40, **layouts.KVASIR)
  assert data.images.shape == (6, 40, 40, 3)
  assert data.label_names == ("unknown",)
  assert data.patients is None
  for found, mask in zip(data.masks, masks, strict=True):
    assert np.abs(found.mean() - mask.mean()) < 0.01
  again = load(root, image_size=40, **(layouts.KVASIR | {"tolerance": 0}))
  np.testing.assert_array_equal(again.masks, data.masks)
  classes = (("background", 0), ("polyp", 255), ("other", 9))
  with pytest.raises(UserError, match=r"cju0\.jpg: has the values .*, which are of no class"):
    load(root, **(layouts.KVASIR | {"tolerance": 0, "classes": classes}))


def test_isic_2018(tmp_path):
  data = load(layouts.isic(tmp_path / "ISIC"), **layouts.ISIC)
  assert data.ids == tuple(f"ISIC_{n:07d}" for n in range(6))
  assert data.images.shape == (6, 32, 32, 3)
  assert set(np.unique(data.masks)) == {0, 1}


def test_three_classes_by_colour_in_one_folder(tmp_path):
  root, masks = layouts.by_colour(tmp_path / "coloured")
  data = load(root, image_size=48, **layouts.BY_COLOUR)
  assert data.class_names == ("background", "benign", "malignant")
  shares = [[(mask == c).mean() for c in range(3)] for mask in (*masks, *data.masks)]
  np.testing.assert_allclose(shares[:6], shares[6:], atol=0.03)
  assert data.ids == tuple(f"case{n}" for n in range(6))


def test_pictures_and_masks_keep_their_size_where_it_is_asked_for(tmp_path):
  image, mask = picture(np.random.default_rng(0), (16, 16), channels=3)
  save(tmp_path / "data/images/a.png", image)
  save(tmp_path / "data/masks/a.png", 255 * mask)
  data = load(tmp_path / "data", image_size=16, channels=3)
  np.testing.assert_array_equal(data.images[0], image)
  np.testing.assert_array_equal(data.masks[0], mask)


def test_grey_and_colour_pictures_mix(tmp_path):
  grey, mask = picture(np.random.default_rng(0), (16, 16))
  colour, _ = picture(np.random.default_rng(1), (16, 16), channels=3)
  for name, image in (("a", grey), ("b", colour)):
    save(tmp_path / f"data/images/{name}.png", image)
    save(tmp_path / f"data/masks/{name}.png", 255 * mask)
  data = load(tmp_path / "data", image_size=16, channels=3)
  np.testing.assert_array_equal(data.images[0], np.repeat(grey[..., None], 3, -1))
  np.testing.assert_array_equal(data.images[1], colour)
  assert load(tmp_path / "data", image_size=16).images.shape == (2, 16, 16, 1)


def test_label_and_patient_from_the_path(tmp_path):
  for label, patient, name in (("b", "p1", "1"), ("b", "p1", "2"), ("m", "p2", "1")):
    image, mask = picture(np.random.default_rng(0))
    save(tmp_path / "data" / label / patient / f"{patient}_{name}.tif", image)
    save(tmp_path / "data" / label / patient / f"{patient}_{name}_mask.tif", 255 * mask)
  data = load(
    tmp_path / "data",
    images="{label}/{patient}/{patient}_{name}.tif",
    masks="{label}/{patient}/{patient}_{name}_mask.tif",
  )
  assert data.ids == ("b/p1/1", "b/p1/2", "m/p2/1")
  assert data.label_names == ("b", "m")
  assert data.labels.tolist() == [0, 0, 1]
  assert data.patients.tolist() == [0, 0, 1]


def test_several_masks_of_a_picture_are_united(tmp_path):
  image, _ = picture(np.random.default_rng(0), (16, 16))
  save(tmp_path / "data/a.png", image)
  for n in range(2):
    mask = np.zeros((16, 16))
    mask[4 * n] = 255
    save(tmp_path / f"data/a_mask_{n}.png", mask)
  data = load(tmp_path / "data", image_size=16, images="{name}.png", masks="{name}_mask*.png")
  assert np.flatnonzero(data.masks[0].any(1)).tolist() == [0, 4]


def test_one_mask_file_a_class_the_later_class_above(tmp_path):
  image, _ = picture(np.random.default_rng(0), (16, 16))
  save(tmp_path / "data/images/a.png", image)
  for name, rows in (("disc", 8), ("cup", 4)):
    save(tmp_path / f"data/{name}/a.png", 255 * (np.mgrid[:16, :16][0] < rows))
  three = (("background", 0), ("disc", 255), ("cup", 255))
  data = load(tmp_path / "data", image_size=16, masks="{class}/{name}.png", classes=three)
  assert data.masks[0, :, 0].tolist() == [2] * 4 + [1] * 4 + [0] * 8


def test_indices_of_a_palette_are_values(tmp_path):
  image, mask = picture(np.random.default_rng(0), (16, 16))
  save(tmp_path / "data/images/a.png", image)
  indexed = Image.fromarray(mask, "P")
  indexed.putpalette([0, 0, 0, 200, 10, 10])
  (tmp_path / "data/masks").mkdir()
  indexed.save(tmp_path / "data/masks/a.png")
  data = load(tmp_path / "data", image_size=16, classes=(("background", 0), ("lesion", 1)))
  np.testing.assert_array_equal(data.masks[0], mask)


def test_the_cache_is_used_and_made_again_where_files_or_options_change(tmp_path, monkeypatch):
  root, cache = layouts.bus_bra(tmp_path / "data"), tmp_path / "cache"
  first = load(root, cache, **layouts.BUS_BRA)
  with monkeypatch.context() as patch:
    patch.setattr(in_memory, "arrays_of", None)  # a call would fail
    again = load(root, cache, **layouts.BUS_BRA)
  assert again.fingerprint == first.fingerprint
  (file,) = cache.iterdir()
  file.write_bytes(file.read_bytes()[:1000])
  assert load(root, cache, **layouts.BUS_BRA).fingerprint == first.fingerprint
  assert load(root, cache, **layouts.BUS_BRA, channels=3).images.shape[-1] == 3
  image, _ = picture(np.random.default_rng(77), (50, 50))
  _, mask = picture(np.random.default_rng(78), (50, 50))
  save(root / "Images/bus_0001-l.png", image)
  save(root / "Masks/mask_0001-l.png", 255 * mask)
  assert load(root, cache, **layouts.BUS_BRA).fingerprint != first.fingerprint


def test_other_patients_are_another_fingerprint(tmp_path):
  root = layouts.bus_bra(tmp_path / "data")
  with_patients = load(root, **layouts.BUS_BRA)
  without = load(root, **(layouts.BUS_BRA | {"patient_column": ""}))
  assert without.patients is None
  assert with_patients.fingerprint != without.fingerprint


def test_a_name_in_no_recipe_is_refused():
  config = _module(CONFIGS[0].with_name("dmf_busi.py")).get_config()
  config.data.name = "folder"
  with pytest.raises(
    UserError, match=r"config\.data\.folder\.images is missing: pattern of the images"
  ):
    experiment.read(config)


def test_an_option_that_there_is_not_is_named(tmp_path):
  config = _module(CONFIGS[0].with_name("folder.py")).get_config()
  config.data.root = str(tmp_path)
  config.data.folder = ConfigDict({**config.data.folder, "chanels": 3})
  with pytest.raises(UserError, match=r"config\.data\.folder: .*chanels"):
    recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
