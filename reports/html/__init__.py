"""The page: a static folder that opens from disk."""
