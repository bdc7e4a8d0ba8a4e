"""How LR images are made: kernels, the second-order pipeline and its presets."""
