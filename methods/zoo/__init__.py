"""Published networks, each described by a card."""
