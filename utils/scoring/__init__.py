"""From pictures to figures: prediction, pooling, metrics, and the files that keep them."""
