"""Floor 1: latent processes, exact inference on them, and the problems drawn from them."""
