"""Delta tables: the one writer, what every day was made of, and how the log is read."""
