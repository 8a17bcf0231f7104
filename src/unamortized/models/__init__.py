"""Floor 3: the models, generation, and the cost of both."""
