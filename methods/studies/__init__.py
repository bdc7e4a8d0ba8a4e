"""Ablations and benches: no plugins, part of no identity."""
