"""The files of a run's folder: each format has one module, which writes and reads it; no jax."""
