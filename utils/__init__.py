"""All that the scripts are made of; folders stand in the order recordings, spectra, models, scoring, learning, and use only earlier ones."""
