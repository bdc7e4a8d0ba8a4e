"""The frozen base of the one-step family: networks, text, sizes."""
