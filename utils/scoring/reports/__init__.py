"""Report pages for people: plots, tables, excerpts of sound, and their templates."""
