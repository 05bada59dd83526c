"""How a net learns: which clips, in which order, varied how, with which step width, and the loop over epochs."""
