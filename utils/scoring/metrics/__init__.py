"""Formulas and registry of metrics, their intervals, thresholds and calibration. Imports nothing else of scoring."""
