"""Pages and figures about runs, from the files in their folders; outcomes alone need jax."""
