"""Loads pretrained weights of encoders from files, which are checked and never executed."""

from mlseg.models.pretrained.load import insert, load
from mlseg.models.pretrained.official import imagenet

__all__ = ["imagenet", "insert", "load"]
