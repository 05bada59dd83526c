"""The demo data set, as `python -m utils.demo demo` writes it: synthetic species in the format of BirdCLEF 2018."""
