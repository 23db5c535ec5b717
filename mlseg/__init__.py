"""Segmentation trained under several losses at once, in JAX."""

__version__ = "0.2.0"
