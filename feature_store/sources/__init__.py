"""Where raw rows come from; modules here import with the standard library alone."""
