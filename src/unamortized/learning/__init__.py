"""Floor 4: conditions (ways of learning), training, and the folders of runs."""
