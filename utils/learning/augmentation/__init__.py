"""Augmentation in training: of spectrograms (images.py) and of sound (sounds.py), and its contact sheet."""
