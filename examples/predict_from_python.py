"""A trained run predicts a picture from Python; the folder of the run is all that it takes.

Without arguments a small U-Net is first trained on the embedded ultrasound pictures by the command
line, in seconds and into a temporary folder, and the test picture with the median Dice is predicted
from a PNG file. `python -m mlseg.predict` does the same for whole folders of pictures. Run it with
`python examples/predict_from_python.py [RUN PICTURE MASK]`, where MASK is a file to be written.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import mlseg
from mlseg import metrics

CONFIG = pathlib.Path(__file__).resolve().parent.parent / "configs" / "smoke.py"
OVERRIDES = ("--config.num_epochs=10", "--config.optimizer.learning_rate=0.01")


def train(folder):
  """Trains the recipe with other values of some keys, by the command that a shell is given."""
  command = [sys.executable, "-m", "mlseg.main", f"--config={CONFIG}", f"--workdir={folder}"]
  subprocess.run([*command, *OVERRIDES], check=True, stdout=subprocess.DEVNULL)


def write_test_picture(folder, path):
  """Writes the test picture with the median Dice, four times as large, and returns its mask."""
  with np.load(folder / "examples.npz") as examples:
    case = np.argsort(examples["dice"])[len(examples["dice"]) // 2]
    image, mask = examples["images"][case, :, :, 0], examples["masks"][case]
  Image.fromarray(np.kron(image, np.ones((4, 4), np.uint8))).save(path)
  return np.kron(mask, np.ones((4, 4), np.uint8))


with tempfile.TemporaryDirectory() as temporary:
  names = sys.argv[1:] or [f"{temporary}/{name}" for name in ("run", "picture.png", "mask.png")]
  folder, picture, output = map(pathlib.Path, names)
  if not sys.argv[1:]:
    train(folder)
    truth = write_test_picture(folder, picture)
  found = mlseg.load(folder).predict(picture)  # or an array [H, W] or [H, W, 3]
  Image.fromarray(np.where(found.mask > 0, 255, 0).astype(np.uint8)).save(output)
  print(
    f"lesion in {(found.mask > 0).mean():.1%} of the pixels, entropy {found.entropy.mean():.2f}"
  )
  if not sys.argv[1:]:
    counts = metrics.confusion_counts(np.asarray(Image.open(output))[None] // 255, truth[None], 2)
    print(f"Dice of the mask file: {metrics.summarize(counts)['dice']:.3f}")
