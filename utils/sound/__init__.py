"""Audio files and their containers: the decoder reads everything in them, even if the header is wrong."""
