"""The one-step diffusion family: one backbone and one trainer; its methods differ in their adapter only."""
