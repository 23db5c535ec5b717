"""Figures of a run, from its files alone: nothing here imports jax, but outcomes do."""
