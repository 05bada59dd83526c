"""Search of settings: the space, its trials, the study that chooses their values, and what it leaves."""
