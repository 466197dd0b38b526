"""Checks of a day's rows, and how far a day drifted from another."""
