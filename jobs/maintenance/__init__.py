"""Keeps tables, bundles and training sets from growing; nothing published is touched."""
