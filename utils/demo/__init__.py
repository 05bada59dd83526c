"""The made-up data set: invented birds that sing in invented places, in the form of the BirdCLEF 2018 archive. `python -m utils.demo demo` writes it."""
