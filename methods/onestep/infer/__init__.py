"""Restoring images with a one-step method."""
