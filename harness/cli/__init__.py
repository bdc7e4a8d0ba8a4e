"""The ``isrbench`` command: the only place that prints."""
