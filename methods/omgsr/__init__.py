"""OMGSR-S: one step from a mid timestep, with the VAE encoder taught to land there."""
