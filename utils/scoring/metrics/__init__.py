"""Formulas that judge predictions, their intervals, thresholds and calibration. Imports nothing else of scoring."""
