"""What came in: recordings and what is known of them, one reader a kind of archive, and the split into train and val."""
