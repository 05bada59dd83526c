"""What the scripts are made of.

Imports go one way: sound → recordings → spectra → models → scoring → learning; a folder uses only earlier ones.
"""
