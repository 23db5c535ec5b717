"""Weightings that decide from the values of the losses alone."""
