"""The `nightscore` command: one file a group of commands, and what they share."""
