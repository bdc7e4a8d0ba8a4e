"""Images that were restored elsewhere."""
