"""One SQLite file of rows, and the frames that are read from it."""
