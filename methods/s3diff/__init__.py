"""S3Diff: one step whose LoRAs are bent by how degraded the image is."""
