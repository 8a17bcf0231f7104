"""Backward passes: smoothed beliefs, posterior samples and the most likely path."""

import math

import numpy as np

from unamortized.worlds.kernels.running import compiled


@compiled
def fill_backward_weights(weights, matrix, belief, in_logs, j):
    """Fill weights (S,) with P(s_t = i | s_{t+1} = j, x_1..t+1) up to a factor; return their sum.

    `belief` is the belief after x_1..t, or its logarithm if `in_logs`.
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


@compiled
def smooth(stack, index, lengths, beliefs, log_beliefs, log_row, smoothed):
    """Fill smoothed (B, n+1, S) backwards from the end, from filtered beliefs alone."""
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


@compiled
def draw(weights, total, uniform):
    """Return the index at which the running sum of the weights passes uniform * total; its weight is never zero."""
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


@compiled
def sample_backward(stack, index, lengths, beliefs, log_beliefs, log_row, uniforms, latents):
    """Fill latents (K, B, n+1) with draws from the joint posterior; each uses one of uniforms (K, B, n+1)."""
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


@compiled
def viterbi(stack, index, lengths, initial, latents, log_joint):
    """Fill latents (B, n+1) and log_joint (B,), -inf if no path is possible; ties go to the lower state."""
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
