"""Interpolation, as every paper's bottom row has it."""
