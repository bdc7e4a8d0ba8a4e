"""A benchmark for real-world image super-resolution: methods x datasets x metrics, stratified by degradation."""
