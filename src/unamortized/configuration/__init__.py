"""Floor 0: read configuration files, with the line of every field, and report every error with its line."""
