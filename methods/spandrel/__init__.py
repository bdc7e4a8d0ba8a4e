"""Networks that spandrel can load."""
