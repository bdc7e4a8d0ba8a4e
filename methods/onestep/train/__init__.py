"""Training of an adapter on its frozen base."""
