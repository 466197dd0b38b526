"""From delivered rows to good events: quarantine, duplicates, content."""
