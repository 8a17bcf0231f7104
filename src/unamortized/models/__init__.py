"""Floor 3: the transformer, generation from it, and what both cost."""
