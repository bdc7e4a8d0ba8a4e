"""The contracts: read these files and you can write a plugin."""
