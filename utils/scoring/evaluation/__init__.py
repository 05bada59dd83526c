"""Metrics of predictions for held-out recordings and for annotated soundscapes, and the files that a test saves."""
