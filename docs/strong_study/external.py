r"""Scores a trained run on images of another hospital, and adds the rows to those of this study.

    python docs/strong_study/external.py --label=stu/efficientnet_lite0/equal --run=FOLDER \
        --images='STU/Test_Image_{}.png' --masks='STU/mask_{}.png' --views=flips

The images are predicted as by `mlseg.predict`, with the mean of all models of the run. A mask file
of another size is resized to the image: a pixel is of the lesion where more than half of it is.
"""

import argparse
import pathlib
import re
import sys
import tempfile

import cv2
import numpy as np

from mlseg import metrics, predict
from mlseg.workdir import run_folder

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import collect  # beside this file


def main() -> None:
  """Writes the rows of `models.csv` and `cases.csv`."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--label", required=True, help="name of the setting on the page")
  parser.add_argument("--run", required=True, type=pathlib.Path, help="folder of a trained run")
  parser.add_argument("--images", required=True, help="pattern of the images; {}: their name")
  parser.add_argument("--masks", required=True, help="pattern of the masks")
  parser.add_argument("--views", default="one", choices=predict.VIEWS, help="that are averaged")
  options = parser.parse_args()
  pattern = pathlib.Path(options.images)
  form = re.compile(re.escape(pattern.name).replace(r"\{\}", "(.+)"))
  found = (form.fullmatch(path.name) for path in sorted(pattern.parent.iterdir()))
  names = [match[1] for match in found if match]
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder)
    (out / "images").mkdir()
    for name in names:
      target = pathlib.Path(options.images.format(name)).resolve()
      (out / "images" / f"{name}.png").symlink_to(target)
    code = predict.main(
      ["predict", f"--workdir={options.run}", f"--images={out / 'images'}", f"--out={out / 'out'}",
       f"--views={options.views}"]
    )  # fmt: skip
    if code != 0:
      sys.exit(code)
    pairs = [(_read(out / "out" / "masks" / f"{name}.png") > 127, name) for name in names]
  cases = [{"seed": collect.ENSEMBLE, "id": name} | _scores(mask, name, options.masks)
           for mask, name in pairs]  # fmt: skip
  config = run_folder.read(options.run).config
  made = {"models": collect.models_of(config, cases, []), "curves": [], "cases": cases}
  collect.replace(options.label, made)


def _read(path: pathlib.Path) -> np.ndarray:
  """Returns a mask file as grey values."""
  image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
  if image is None:
    sys.exit(f"{path} cannot be read")
  return image


def _scores(predicted: np.ndarray, name: str, masks: str) -> dict[str, float]:
  """Returns the metrics of the lesion in one image, in pixels of the image."""
  mask = _read(pathlib.Path(masks.format(name))) > 127
  height, width = predicted.shape
  share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
  pair = predicted[None].astype(np.uint8), (share > 0.5)[None].astype(np.uint8)
  counts = np.asarray(metrics.confusion_counts(*pair, 2))
  surfaces = metrics.per_case_surface(*pair, 2, num_processes=1)
  overlap = {"dice": metrics.dice(counts), "iou": metrics.iou(counts)}
  values = overlap | surfaces.metrics
  return {name: float(np.asarray(values[name])[0, 1]) for name in collect.METRICS}


if __name__ == "__main__":
  main()
