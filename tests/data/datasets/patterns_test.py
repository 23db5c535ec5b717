"""Naming patterns beyond their doctests."""

from mlseg.data.datasets import patterns


def test_a_pattern_takes_as_much_as_it_can_and_no_folder():
  pattern = patterns.parse("{patient}_{name}.png", "images")
  assert pattern.regex.fullmatch("a_b_7.png").groupdict() == {"patient": "a_b", "name": "7"}
  assert pattern.regex.fullmatch("x/a_7.png") is None
  assert patterns.parse("a.b/{name}+*.png", "images").regex.fullmatch("aXb/1+.png") is None
