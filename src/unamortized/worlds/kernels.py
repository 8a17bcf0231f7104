"""The loops of exact inference, compiled: one pass over problems, steps and states.

Every kernel takes a `stack` of matrices (M, S, S) and an `index` (B, n) that chooses the matrix of each step,
so transitions that are shared, that each problem brings, or that change in time are all the same to it.
Entries that are exactly zero are skipped: where the latent is known, a step costs O(S), not O(S²).

Beliefs are kept as plain numbers, which is fast, until one of them nears the end of float64's range; that
problem is then done again with logarithms, which is several times slower but loses nothing: a hypothesis that
was almost given up comes back when the evidence turns. Backward passes take both: `log_row[b]` is the row of
`log_beliefs` that holds problem b, or -1 where `beliefs` is precise enough.
"""

import math

import numpy as np
from numba import njit

SMALLEST_PRODUCT = 1e-290  # of a belief and an entry; float64 keeps its precision down to 2e-308


@njit(cache=True)
def filter_plainly(stack, index, lengths, initial, beliefs, log_probability, impossible, underflow):
    """Fills beliefs (B, n+1, S), log_probability, the first impossible step or 0, and underflow (all B,)."""
    smallest_entry = 1.0
    for entry in stack.reshape(-1):
        if 0.0 < entry < smallest_entry:
            smallest_entry = entry
    smallest_belief = SMALLEST_PRODUCT / smallest_entry
    batch, steps = index.shape
    states = initial.shape[1]
    for b in range(batch):
        for i in range(states):
            beliefs[b, 0, i] = initial[b, i]
            if 0.0 < initial[b, i] < smallest_belief:
                underflow[b] = True
        for t in range(steps):
            if t >= lengths[b]:
                for j in range(states):
                    beliefs[b, t + 1, j] = beliefs[b, t, j]
                continue
            matrix = stack[index[b, t]]
            for j in range(states):
                beliefs[b, t + 1, j] = 0.0
            for i in range(states):
                weight = beliefs[b, t, i]
                if weight > 0.0:
                    for j in range(states):
                        beliefs[b, t + 1, j] += weight * matrix[i, j]
            evidence = 0.0
            for j in range(states):
                evidence += beliefs[b, t + 1, j]
            if not evidence > 0.0:
                impossible[b] = t + 1
                break
            log_probability[b] += math.log(evidence)
            for j in range(states):
                beliefs[b, t + 1, j] /= evidence
                if 0.0 < beliefs[b, t + 1, j] < smallest_belief:
                    underflow[b] = True
            if underflow[b]:
                break


@njit(cache=True)
def filter_in_logs(stack, index, lengths, log_initial, log_beliefs, log_probability, impossible):
    """The same with logarithms throughout: log_initial (B, S) in, log_beliefs (B, n+1, S) out."""
    batch, steps = index.shape
    states = log_initial.shape[1]
    for b in range(batch):
        log_beliefs[b, 0] = log_initial[b]
        for t in range(steps):
            if t >= lengths[b]:
                log_beliefs[b, t + 1] = log_beliefs[b, t]
                continue
            matrix = stack[index[b, t]]
            for j in range(states):
                largest = -np.inf
                for i in range(states):
                    if log_beliefs[b, t, i] > -np.inf and matrix[i, j] > 0.0:
                        largest = max(largest, log_beliefs[b, t, i] + math.log(matrix[i, j]))
                total = 0.0
                for i in range(states):
                    if log_beliefs[b, t, i] > -np.inf and matrix[i, j] > 0.0:
                        total += math.exp(log_beliefs[b, t, i] + math.log(matrix[i, j]) - largest)
                log_beliefs[b, t + 1, j] = largest + math.log(total) if total > 0.0 else -np.inf
            largest = log_beliefs[b, t + 1].max()
            if largest == -np.inf:
                impossible[b] = t + 1
                break
            evidence = 0.0
            for j in range(states):
                evidence += math.exp(log_beliefs[b, t + 1, j] - largest)
            log_evidence = largest + math.log(evidence)
            log_probability[b] += log_evidence
            for j in range(states):
                log_beliefs[b, t + 1, j] -= log_evidence


@njit(cache=True)
def fill_backward_weights(weights, matrix, belief, in_logs, j):
    """Fills weights (S,) with P(s_t = i | s_{t+1} = j, x_1..t+1) up to a factor; returns their sum.

    The belief after x_1..t is given as its logarithm if `in_logs`.
    """
    total = 0.0
    if not in_logs:
        for i in range(weights.size):
            weights[i] = belief[i] * matrix[i, j] if belief[i] > 0.0 else 0.0
            total += weights[i]
        return total
    largest = -np.inf
    for i in range(weights.size):
        weights[i] = belief[i] + math.log(matrix[i, j]) if matrix[i, j] > 0.0 else -np.inf
        largest = max(largest, weights[i])
    for i in range(weights.size):
        weights[i] = math.exp(weights[i] - largest) if weights[i] > -np.inf else 0.0
        total += weights[i]
    return total


@njit(cache=True)
def smooth(stack, index, lengths, beliefs, log_beliefs, log_row, smoothed):
    """Fills smoothed (B, n+1, S) from the end backwards, from filtered beliefs alone."""
    batch, steps = index.shape
    states = beliefs.shape[2]
    weights = np.empty(states)
    for b in range(batch):
        in_logs = log_row[b] >= 0
        for t in range(lengths[b], steps + 1):
            smoothed[b, t] = beliefs[b, t]
        for t in range(lengths[b] - 1, -1, -1):
            matrix = stack[index[b, t]]
            belief = log_beliefs[log_row[b], t] if in_logs else beliefs[b, t]
            smoothed[b, t] = 0.0
            for j in range(states):
                if smoothed[b, t + 1, j] > 0.0:
                    total = fill_backward_weights(weights, matrix, belief, in_logs, j)
                    for i in range(states):
                        smoothed[b, t, i] += smoothed[b, t + 1, j] * (weights[i] / total)


@njit(cache=True)
def draw(weights, total, uniform):
    """The index at which the running sum of the weights passes uniform * total; never one of weight zero."""
    threshold = uniform * total
    running = 0.0
    last = 0
    for i in range(weights.size):
        if weights[i] > 0.0:
            last = i
            running += weights[i]
            if running > threshold:
                return i
    return last  # rounding kept the running sum at the threshold


@njit(cache=True)
def sample_backward(stack, index, lengths, beliefs, log_beliefs, log_row, uniforms, latents):
    """Fills latents (K, B, n+1) with draws from the joint posterior, one of uniforms (K, B, n+1) a latent."""
    samples, batch, positions = uniforms.shape
    weights = np.empty(beliefs.shape[2])
    for k in range(samples):
        for b in range(batch):
            in_logs = log_row[b] >= 0
            end = lengths[b]
            latents[k, b, end] = draw(beliefs[b, end], beliefs[b, end].sum(), uniforms[k, b, end])
            for t in range(end + 1, positions):
                latents[k, b, t] = latents[k, b, end]
            for t in range(end - 1, -1, -1):
                matrix = stack[index[b, t]]
                following = latents[k, b, t + 1]
                belief = log_beliefs[log_row[b], t] if in_logs else beliefs[b, t]
                total = fill_backward_weights(weights, matrix, belief, in_logs, following)
                latents[k, b, t] = draw(weights, total, uniforms[k, b, t])


@njit(cache=True)
def viterbi(stack, index, lengths, initial, latents, log_joint):
    """Fills latents (B, n+1) and log_joint (B,), -inf where no path is possible; of ties the lower state."""
    batch, steps = index.shape
    states = initial.shape[1]
    scores = np.empty(states)
    best = np.empty(states)
    origin = np.empty((steps, states), dtype=np.int64)
    for b in range(batch):
        for i in range(states):
            scores[i] = math.log(initial[b, i]) if initial[b, i] > 0.0 else -np.inf
        for t in range(lengths[b]):
            matrix = stack[index[b, t]]
            best[:] = -np.inf
            for i in range(states):
                if scores[i] > -np.inf:
                    for j in range(states):
                        if matrix[i, j] > 0.0:
                            score = scores[i] + math.log(matrix[i, j])
                            if score > best[j]:
                                best[j] = score
                                origin[t, j] = i
            scores[:] = best
        end = lengths[b]
        log_joint[b] = scores.max()
        latents[b, end:] = scores.argmax()
        if log_joint[b] > -np.inf:
            for t in range(end - 1, -1, -1):
                latents[b, t] = origin[t, latents[b, t + 1]]


@njit(cache=True)
def search(cumulative, uniform):
    """The first index whose cumulative probability exceeds uniform, by bisection."""
    low, high = 0, cumulative.size - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def walk(cumulative_moves, row, cumulative_initial, uniforms, observations, latents):
    """Fills observations (B, n) and latents (B, n+1) with draws from the process itself.

    cumulative_moves (R, S, V*S) holds running sums over (symbol, next state) from each state; row (B,) says
    which of the R sets of transitions is problem b's.
    """
    batch, positions = uniforms.shape
    states = cumulative_moves.shape[1]
    for b in range(batch):
        latents[b, 0] = search(cumulative_initial[b], uniforms[b, 0])
        for t in range(positions - 1):
            move = search(cumulative_moves[row[b], latents[b, t]], uniforms[b, t + 1])
            observations[b, t] = move // states
            latents[b, t + 1] = move % states
