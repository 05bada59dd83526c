"""From sound to spectrograms: decoding, clips, spectrograms, signal scores, the store. Only `on_device` imports JAX."""
