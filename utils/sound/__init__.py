"""Files of sound and their containers: opened so that the decoder reads all that they hold, whatever their headers say."""
