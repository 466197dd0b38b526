"""One night, from source rows to published scores; each step can be run alone."""
