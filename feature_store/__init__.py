"""Definitions, tables, point-in-time features and data checks; never imports torch."""
