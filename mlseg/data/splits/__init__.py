"""Splits into training, validation and test parts, which keep groups of cases together.

`grouped` makes one split, `cross_validation` the splits of all folds.
"""
