"""Floor 5: from a trained model to rows of metrics, against the exact posterior."""
