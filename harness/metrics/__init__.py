"""What scores an image: the metrics, their weights and their versions."""
