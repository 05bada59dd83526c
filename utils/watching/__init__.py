"""A folder into which recordings arrive is watched: each is predicted once, into a table for each day."""
