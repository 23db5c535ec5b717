"""Naming patterns beyond their doctests."""

from mlseg.data.datasets import patterns


def test_a_pattern_has_its_longest_and_shortest_readings_and_takes_no_folder():
  pattern = patterns.parse("{patient}_{name}.png", "images")
  assert pattern.readings("a_b_7.png") == [
    {"patient": "a_b", "name": "7"}, {"patient": "a", "name": "b_7"}
  ]  # fmt: skip
  assert pattern.readings("x/a_7.png") == []
  assert patterns.parse("a.b/{name}+*.png", "images").readings("aXb/1+.png") == []


def test_suffixes_are_compared_without_case_and_names_with_it():
  pattern = patterns.parse("Scans/{name}_T1.nii.png", "images")
  assert pattern.readings("Scans/7_T1.nii.PNG") == [{"name": "7"}]
  assert not pattern.readings("scans/7_T1.nii.png")
  assert not pattern.readings("Scans/7_t1.nii.png")


def test_names_are_compared_in_one_form_of_unicode():
  pattern = patterns.parse("{label}/e\u0301_{name}.png", "images")
  assert pattern.readings("ü/é_u\u0308.png") == [{"label": "ü", "name": "ü"}]
