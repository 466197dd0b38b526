"""Many days at once: what is missing or stale, what mending it costs, and doing it."""
