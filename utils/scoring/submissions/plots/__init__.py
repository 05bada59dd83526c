"""Plots of what was detected: when, where, with which scores, and how many species."""
