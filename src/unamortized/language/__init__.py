"""Floor 2: problems as tokens: belief codes, traces, layout, corpora, batches."""
