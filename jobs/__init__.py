"""The steps of a night, one module each, and the command that runs them."""
