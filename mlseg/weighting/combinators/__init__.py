"""Weightings that wrap another one, or change the weights of the one before in a chain."""
