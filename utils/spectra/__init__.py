"""Sound to picture: decoding, clips, spectrograms, the signal score, and the store that keeps them. Only `on_device` imports JAX."""
