"""What earlier calls left on disk and nothing needs any more: found, listed, and removed if asked."""
