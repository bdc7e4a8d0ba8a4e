"""Pretraining of the tiny base."""
