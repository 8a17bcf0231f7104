"""The loops of exact inference, compiled: one pass over problems, steps and states.

Every kernel takes a `stack` of matrices (M, S, S) and an `index` (B, n) that chooses the matrix of each step,
so transitions that are shared, that each problem brings, or that change in time are all the same to it.
Entries that are exactly zero are skipped: where the latent is known, a step costs O(S), not O(S²).

Beliefs are kept as plain numbers, which is fast, until one of them nears the end of float64's range; that
problem is then done again with logarithms, which is several times slower but loses nothing: a hypothesis that
was almost given up comes back when the evidence turns. Backward passes take both: `log_row[b]` is the row of
`log_beliefs` that holds problem b, or -1 where `beliefs` is precise enough.
"""
