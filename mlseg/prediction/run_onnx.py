"""Predicts images with an exported model; it needs numpy, Pillow and onnxruntime alone.

    python run.py IMAGE... --out=DIR

`mlseg.export` puts this file beside model.onnx and model.json. For each image, DIR gets NAME.png,
the mask: 0 and 255 for two classes, the index of the class for more; and the diagnosis, or the
findings, are printed, if the model gives such. An image is resized as in training; the bilateral
filter of some recipes needs `pip install opencv-python-headless`. Small components and holes are
not removed: model.json says below which size mlseg does so.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image


def prepared(image, own):
  """Returns an image as the model takes it, [1, height, width, channels] uint8."""
  _, height, width, channels = own["shape"]
  pixels = image.convert("L" if channels == 1 else "RGB")
  pixels = np.asarray(pixels.resize((width, height), Image.Resampling.BOX))
  if own["filter"]:
    import cv2

    names = ("diameter", "sigma_intensity", "sigma_space")
    pixels = cv2.bilateralFilter(np.ascontiguousarray(pixels), *(own["filter"][n] for n in names))
  return pixels.reshape(1, height, width, channels)


def mask_of(probabilities, size, about):
  """Returns the mask at the size (width, height) of the image, as uint8."""
  planes = [
    np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
    for plane in np.moveaxis(probabilities, -1, 0)
  ]
  threshold = about["masks"]["threshold"]
  labels = np.argmax(planes, 0) if threshold is None else planes[1] > threshold
  return (labels * (255 if len(planes) == 2 else 1)).astype(np.uint8)


def main():
  """Predicts the images of the command line; returns 1 where one of them cannot be read."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("images", nargs="+", type=pathlib.Path)
  parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the masks")
  options = parser.parse_args()
  here = pathlib.Path(__file__).resolve().parent
  about = json.loads((here / "model.json").read_text())
  session = onnxruntime.InferenceSession(here / about["file"])
  options.out.mkdir(parents=True, exist_ok=True)
  failed = 0
  for path in options.images:
    try:
      image = Image.open(path)
      image.load()
    except (OSError, ValueError, Image.DecompressionBombError) as error:
      print(f"{path}: cannot be read ({error})", file=sys.stderr)
      failed = 1
      continue
    values = session.run(None, {about["input"]["name"]: prepared(image, about["input"])})
    found = dict(zip(about["outputs"], values, strict=True))
    text = str(path)
    if "probabilities" in found:
      mask = mask_of(found["probabilities"][0], image.size, about)
      Image.fromarray(mask).save(options.out / f"{path.stem}.png")
      text += f": {np.mean(mask > 0):.1%} of the pixels are not {about['classes'][0]}"
    if "diagnoses" in found:
      best = int(found["diagnoses"][0].argmax())
      text += f": {about['diagnoses'][best]}, {found['diagnoses'][0][best]:.0%}"
    if "findings" in found:
      pairs = zip(about["findings"], found["findings"][0], strict=True)
      text += ": " + ", ".join(f"{name} {value:.0%}" for name, value in pairs)
    print(text)
  return failed


if __name__ == "__main__":
  sys.exit(main())
