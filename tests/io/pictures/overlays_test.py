"""Masks hold classes, overlays show them."""

import cv2
import numpy as np

from mlseg.io.pictures import overlays


def test_masks_and_overlays_of_several_classes():
  labels = np.zeros((40, 60), np.uint8)
  labels[5:15, 5:25], labels[20:35, 30:55] = 1, 2
  mask = cv2.imdecode(np.frombuffer(overlays.mask_png(labels, 3), np.uint8), cv2.IMREAD_UNCHANGED)
  np.testing.assert_array_equal(mask, labels)
  drawn = overlays.draw(np.full((40, 60), 100, np.uint8), labels, 3)
  assert drawn[5, 5].tolist() == [213, 94, 0]
  assert drawn[34, 54].tolist() == [0, 114, 178]
  assert drawn[0, 0].tolist() == [100, 100, 100]
  assert drawn[10, 10].tolist() == [128, 98, 75]  # a quarter of the colour


def test_a_mask_of_two_classes_is_black_and_white():
  labels = np.array([[0, 1], [1, 0]], np.uint8)
  mask = cv2.imdecode(np.frombuffer(overlays.mask_png(labels, 2), np.uint8), cv2.IMREAD_UNCHANGED)
  assert mask.tolist() == [[0, 255], [255, 0]]


def test_an_overlay_keeps_the_order_of_colours():
  pixels = np.zeros((4, 4, 3), np.uint8)
  pixels[..., 0] = 200  # red
  content = overlays.overlay_png(pixels, np.zeros((4, 4), np.uint8), 2)
  read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
  np.testing.assert_array_equal(read, pixels)
