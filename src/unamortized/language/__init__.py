"""Floor 2: how a problem is written down: codes for beliefs, traces, token layout, corpora."""
