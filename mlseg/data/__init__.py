"""Data sets in memory, their splits, and the batches and augmentation of the compiled program."""
