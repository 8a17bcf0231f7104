"""Floor 4: conditions (ways of learning), training, and the folders that runs live in."""
