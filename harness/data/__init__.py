"""From a name to checked pairs of LR and HR images."""
