"""Folders of made-up pictures and masks in the layouts that data sets are published in."""

import csv
import pathlib
import runpy

import numpy as np
from PIL import Image

from mlseg.data import cases
from mlseg.data.datasets import folder, sources

CONFIG = pathlib.Path(__file__).parent.parent.parent / "configs" / "folder.py"

PALETTE = {0: (0, 0, 0), 1: (0, 255, 0), 2: (255, 0, 0)}


def picture(rng, shape=(40, 48), channels=1):
  """Returns a picture of noise, [H, W] or [H, W, 3], with a rectangle; and the rectangle's mask."""
  height, width = shape
  top, left = rng.integers(2, height // 2), rng.integers(2, width // 2)
  mask = np.zeros(shape, np.uint8)
  mask[top : top + height // 3, left : left + width // 3] = 1
  image = rng.integers(0, 100, (*shape, channels)) + 120 * mask[..., None]
  return image.astype(np.uint8).squeeze(), mask


def save(path, array, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array.astype(np.uint8)).save(path, **options)


def write_table(path, header, rows, separator=","):
  with path.open("w", newline="", encoding="utf-8") as file:
    csv.writer(file, delimiter=separator).writerows([header, *rows])


def bus_bra(root, num_patients=8, channels=1, suffix=".png"):
  """Writes BUS-BRA's folders: two pictures a patient, tables of diagnoses, patients and folds."""
  rng = np.random.default_rng(0)
  rows, folds = [], []
  for patient in range(1, num_patients + 1):
    pathology = "malignant" if patient % 2 else "benign"
    for side in ("l", "r"):
      name = f"{patient:04d}-{side}"
      image, mask = picture(rng, channels=channels)
      save(root / "Images" / f"bus_{name}{suffix}", image)
      save(root / "Masks" / f"mask_{name}.png", 255 * mask)
      rows.append([f"bus_{name}", patient, "Fibroadenoma", pathology, 2 + patient % 4])
      folds.append([f"bus_{name}", patient, patient % 5 + 1])
  write_table(root / "bus_data.csv", ["ID", "Case", "Histology", "Pathology", "BIRADS"], rows)
  write_table(root / "5-fold-cv.csv", ["ID", "Case", "kFold"], folds)
  return root


BUS_BRA = {
  "images": "Images/bus_{name}.png", "masks": "Masks/mask_{name}.png", "table": "bus_data.csv",
  "table_id": "bus_{name}", "id_column": "ID", "label_column": "Pathology",
  "patient_column": "Case",
}  # fmt: skip


def with_findings(root, count=24):
  """Writes pictures with two findings, any of which they may have, and their table."""
  rng = np.random.default_rng(3)
  rows = []
  for number in range(count):
    image, mask = picture(rng)
    effusion, edema = number % 2, number // 2 % 2
    image[-6:] = 255 * effusion  # a bar below, and one on the left
    image[:, :6] = 200 * edema
    save(root / "images" / f"{number:04d}.png", image)
    save(root / "masks" / f"{number:04d}.png", 255 * mask)
    rows.append([f"{number:04d}", effusion, edema, number // 2])
  write_table(root / "findings.csv", ["name", "effusion", "edema", "case"], rows)
  return root


FINDINGS = {
  "table": "findings.csv", "id_column": "name", "label_columns": ("effusion", "edema"),
  "duplicate_bits": -1,
}  # fmt: skip


def kvasir(root, count=6):
  """Writes Kvasir-SEG's folders: colour pictures, and masks as JPEG, which makes them noisy."""
  rng = np.random.default_rng(1)
  masks = []
  for number in range(count):
    image, mask = picture(rng, channels=3)
    save(root / "images" / f"cju{number}.jpg", image)
    save(root / "masks" / f"cju{number}.jpg", np.repeat(255 * mask[..., None], 3, -1), quality=60)
    masks.append(mask)
  return root, masks


KVASIR = {
  "images": "images/{name}.jpg", "masks": "masks/{name}.jpg", "tolerance": 127, "channels": 3
}  # fmt: skip


def isic(root, count=6):
  """Writes the folders of ISIC 2018's task 1, with the notes that come with them."""
  rng = np.random.default_rng(2)
  inputs, truths = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
  for number in range(count):
    image, mask = picture(rng, shape=(30 + number, 44), channels=3)
    save(root / inputs / f"ISIC_{number:07d}.jpg", image)
    save(root / truths / f"ISIC_{number:07d}_segmentation.png", 255 * mask)
  for place in (inputs, truths):
    (root / place / "LICENSE.txt").write_text("CC0")
    (root / place / "._ISIC_0000000.jpg").write_text("left behind by a viewer")
  return root


ISIC = {
  "images": "ISIC2018_Task1-2_Training_Input/{name}.jpg",
  "masks": "ISIC2018_Task1_Training_GroundTruth/{name}_segmentation.png",
  "channels": 3,
}


def by_colour(root, count=6):
  """Writes one folder with pictures and masks of three classes by colour."""
  rng = np.random.default_rng(3)
  masks = []
  for number in range(count):
    image, mask = picture(rng, channels=1)
    mask[:, : mask.shape[1] // 2] *= 1 + number % 2  # the left half of it is of another class
    colours = np.array([PALETTE[value] for value in range(3)], np.uint8)
    save(root / f"case{number}.png", image)
    save(root / f"case{number}_mask.png", colours[mask])
    masks.append(mask)
  return root, masks


BY_COLOUR = {
  "images": "{name}.png",
  "masks": "{name}_mask.png",
  "classes": (("background", "#000000"), ("benign", "#00ff00"), ("malignant", "#ff0000")),
}


OTU_CLASSES = (
  ("background", "#000000"), ("chocolate cyst", "#400000"), ("serous cystadenoma", "#004000"),
  ("teratoma", "#404000"), ("theca cell tumour", "#000040"), ("simple cyst", "#400040"),
  ("normal ovary", "#004040"), ("mucinous cystadenoma", "#404040"), ("carcinoma", "#c00000"),
)  # fmt: skip


def otu(root, count=16):
  """Writes OTU's folders: eight classes by colour, binary masks beside, a table; one file damaged.

  Returns:
    The folder, and the number of the damaged picture.
  """
  rng = np.random.default_rng(4)
  rows = []
  for number in range(1, count + 1):
    image, mask = picture(rng, shape=(40 + number % 3, 48), channels=3)
    label = 1 + number % 8
    colour = np.array(list(bytes.fromhex(OTU_CLASSES[label][1][1:])), np.uint8)
    save(root / "image" / f"{number}.JPG", image, format="JPEG")
    save(root / "label" / f"{number}.PNG", mask[..., None] * colour)
    save(root / "label" / f"{number}_binary.PNG", mask)
    rows.append([f"{number}.JPG", OTU_CLASSES[label][0]])
  write_table(root / "train_cls.csv", ["file", "class"], rows)
  damaged = root / "image" / "3.JPG"
  damaged.write_bytes(damaged.read_bytes()[:-300])
  return root, 3


OTU = {
  "images": "image/{name}.JPG", "masks": "label/{name}.PNG", "ignored": ("label/*_binary.PNG",),
  "classes": OTU_CLASSES, "table": "train_cls.csv", "table_id": "{name}.JPG", "id_column": "file",
  "label_column": "class", "channels": 3,
}  # fmt: skip


PLAIN = {"images": "images/{name}.png", "masks": "masks/{name}.png"}


def plain(root, count=4, value=255):
  """Writes the layout of the defaults."""
  for n in range(1, count + 1):
    image, mask = picture(np.random.default_rng(n))
    save(root / "images" / f"{n}.png", image)
    save(root / "masks" / f"{n}.png", value * mask)
  return root


def options_of(**changes):
  """Returns the options of the recipe with changes."""
  section = runpy.run_path(str(CONFIG))["get_config"]().data.folder
  section.update(changes)
  return folder.FolderOptions(**dict(section))


def load(
  root, cache=None, image_size=32, skip_bad=False, reporter=None, mask_resize="refuse",
  sixteen_bit="minmax", num_processes=None, **changes
):  # fmt: skip
  cache = cache or root.parent / "cache"
  return cases.load(
    "folder",
    root=str(root),
    image_size=image_size,
    diameter=0,
    options=options_of(**changes),
    cache=cache,
    reading=sources.Reading(sixteen_bit, mask_resize),
    skip_bad=skip_bad,
    num_processes=num_processes,
    reporter=reporter,
  )
