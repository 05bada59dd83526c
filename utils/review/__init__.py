"""People verify detections: what is sampled, what they say, what follows from it, and the page on which they do it."""
