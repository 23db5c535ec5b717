"""Optax transformations that combine the gradients of several losses into one."""
