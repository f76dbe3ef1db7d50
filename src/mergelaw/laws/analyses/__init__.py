"""One module for each thing that curves and merges say beyond the fits."""
