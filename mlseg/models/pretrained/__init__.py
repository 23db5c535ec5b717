"""Loads pretrained weights of encoders from files, which are checked and never executed."""

from mlseg.models.pretrained.load import insert, load
from mlseg.models.pretrained.official import check_imagenet, imagenet

__all__ = ["check_imagenet", "imagenet", "insert", "load"]
