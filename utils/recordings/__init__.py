"""Recordings and their metadata: a reader for each kind of archive, labels, and the split into train, val and test."""
