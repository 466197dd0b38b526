"""The streams: one module each, which holds what pipelines import by its name in capitals."""
