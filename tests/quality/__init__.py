"""A corpus of faults: what can go wrong with scores, and whether the verdict on a night says so."""
