"""Weights of pretrained encoders: read from files of any origin, checked, never executed."""

from mlseg.pretrained.load import insert, load
from mlseg.pretrained.official import imagenet

__all__ = ["imagenet", "insert", "load"]
