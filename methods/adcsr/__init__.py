"""AdcSR: a one-step diffusion network pruned until no diffusion is left: from the LR's pixels to the result."""
