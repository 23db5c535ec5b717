"""The figures of cases on the pages of studies."""

import pathlib
import runpy

import numpy as np

from mlseg.workdir.examples_file import Examples

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "case_panels.py"


def test_the_first_row_names_the_methods_and_all_panels_their_dice():
  masks = np.zeros((9, 16, 16), np.uint8)
  masks[:, 4:9, 4:9] = 1
  ids = np.array([f"case {n}" for n in range(9)])
  images = np.zeros((9, 16, 16, 1), np.uint8)
  one = Examples(images, masks, masks, ids, np.linspace(0, 1, 9))
  other = one._replace(ids=ids[::-1])  # of the same cases, in another order
  figure = runpy.run_path(str(SCRIPT))["draw"]({"fixed": one, "upgrad": other})
  titles = [axes.get_title() for axes in figure.axes]
  assert [title.partition("\n")[0] for title in titles[:2]] == ["fixed", "upgrad"]
  assert all(title.startswith("Dice ") for title in titles[2:])
  dice = [float(title.partition("Dice ")[2]) for title in titles]
  assert [sum(pair) for pair in zip(dice[::2], dice[1::2], strict=True)] == [1.0] * 5


def test_cases_with_empty_masks_are_chosen_apart():
  masks = np.zeros((4, 8, 8), np.uint8)
  masks[2:, 2:5, 2:5] = 1
  images, ids = np.zeros((4, 8, 8, 1), np.uint8), np.array(["a", "b", "c", "d"])
  one = Examples(images, masks, masks, ids, np.array([0.0, 1.0, 0.4, 0.6]))
  by_quantile = runpy.run_path(str(SCRIPT))["by_quantile"]
  assert by_quantile({"joint": one}, (1.0, 0.0), empty=True) == ["b", "a"]
  assert by_quantile({"joint": one}, (1.0, 0.0), empty=False) == ["d", "c"]
  assert by_quantile({"joint": one}, (1.0, 0.0)) == ["b", "a"]
