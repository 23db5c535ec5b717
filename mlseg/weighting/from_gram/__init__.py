"""Weightings that decide from the Gram matrix of the gradients of the losses."""
