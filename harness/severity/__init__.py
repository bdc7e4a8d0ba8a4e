"""How degraded an LR image is."""
