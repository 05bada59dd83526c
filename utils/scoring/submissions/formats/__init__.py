"""Formats of submissions: files that challenges and field tools read as they are. The registry lists them."""
