"""Pages that a command serves to the browser of this machine alone."""
