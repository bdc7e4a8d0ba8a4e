"""Images in and out."""
