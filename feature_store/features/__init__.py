"""Point-in-time features: daily tiles, as-of joins, and their form for a model."""
