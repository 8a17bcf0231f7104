"""Floor 0: configuration files, read with the line of every field, so that errors can point at it."""
