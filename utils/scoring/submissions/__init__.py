"""Predictions for recordings without labels: resumable parts, postprocessing, timelines and file formats."""
