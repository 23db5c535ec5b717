"""Weights of pretrained encoders: read from files of any origin, checked, never executed."""

from mlseg.models.pretrained.load import insert, load
from mlseg.models.pretrained.official import imagenet

__all__ = ["imagenet", "insert", "load"]
