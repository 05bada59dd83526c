"""How a network learns: examples, sampling, augmentation, losses, learning rates, steps, and the loop over epochs."""
