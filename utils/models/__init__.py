"""Nets, one file each, built by name, and the snapshots that keep them. Nothing here knows files of sound."""
