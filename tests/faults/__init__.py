"""Attacks as a hostile file, disk and process would."""
