"""Tables as Markdown, LaTeX, CSV and plain text."""
