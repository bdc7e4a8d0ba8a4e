"""Networks in ncnn's format, run by ncnn."""
