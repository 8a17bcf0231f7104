"""The loops of exact inference, compiled: one pass over problems, steps and states.

Every kernel takes a `stack` of matrices (M, S, S) and an `index` (B, n) that selects the matrix of each step, so it
handles transitions that are shared, per problem, or variable in time alike. Kernels skip entries that are exactly
zero: if the latent is known, a step costs O(S), not O(S²).

Beliefs are plain numbers, which is fast, until one approaches the end of float64's range. That problem is then
repeated with logarithms, which is several times slower but keeps every hypothesis, however improbable, since later
evidence may favor it. Backward passes take both forms: `log_row[b]` is the row of `log_beliefs` that holds problem b,
or -1 if `beliefs` is precise enough.
"""
