"""Data sets: tfds builders, preprocessing, splits, and batches inside the compiled program."""
