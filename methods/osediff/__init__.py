"""OSEDiff: the dense-LoRA member of the one-step family, and its baseline."""
