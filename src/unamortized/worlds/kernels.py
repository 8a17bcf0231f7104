"""The loops of exact inference, compiled: one pass over problems, steps and states.

Every kernel takes a `stack` of matrices (M, S, S) and an `index` (B, n) that selects the matrix of each step, so it
handles transitions that are shared, per problem, or variable in time alike. Kernels skip entries that are exactly
zero: if the latent is known, a step costs O(S), not O(S²).

Beliefs are plain numbers, which is fast, until one approaches the end of float64's range. That problem is then
repeated with logarithms, which is several times slower but keeps every hypothesis, however improbable, since later
evidence may favor it. Backward passes take both forms: `log_row[b]` is the row of `log_beliefs` that holds problem b,
or -1 if `beliefs` is precise enough.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit

SMALLEST_PRODUCT = 1e-290  # of a belief and an entry; float64 is precise down to 2e-308
LOW, HIGH = 1e-150, 1e150  # the product of two numbers in this range is within float64's range
UNROLLED = 8  # loops over up to this many states are unrolled at compile time, which is two to three times as fast

compiled = njit(cache=True, error_model="numpy")


# ── forward ──────────────────────────────────────────────────────────────────────────────────────


def filter_plainly(stack: np.ndarray, index: np.ndarray, lengths: np.ndarray, *filled: np.ndarray) -> None:
    """Fill beliefs (B, n+1, S) after the initial ones, log_probability, the first impossible step or 0, and underflow.

    Values after an impossible step or an underflow are meaningless.
    """
    states = stack.shape[-1]
    smallest_belief = SMALLEST_PRODUCT / stack.min(initial=1.0, where=stack > 0)
    filter_kernel(states if states <= UNROLLED else 0)(stack, index, lengths, smallest_belief, *filled)


@cache
def filter_kernel(constant: int) -> Callable[..., None]:
    """Return the kernel of `filter_plainly` for a number of states fixed at compile time, or for any number (0)."""

    @compiled
    def kernel(stack, index, lengths, smallest_belief, beliefs, log_probability, impossible, underflow):
        batch, steps = index.shape
        states = constant if constant else stack.shape[-1]
        joint = np.empty(states)
        for b in range(batch):
            for i in range(states):
                underflow[b] |= 0.0 < beliefs[b, 0, i] < smallest_belief
            product = 1.0  # of evidence; its logarithm is taken only when it would leave the range
            for t in range(steps):
                if t >= lengths[b]:
                    beliefs[b, t + 1] = beliefs[b, t]
                    continue
                m = np.uint64(index[b, t])  # numba skips the check for negative indices
                for j in range(states):
                    joint[j] = 0.0
                for i in range(states):
                    weight = beliefs[b, t, i]
                    if weight > 0.0:
                        for j in range(states):
                            joint[j] += weight * stack[m, i, j]
                evidence = 0.0
                for j in range(states):
                    evidence += joint[j]
                if not evidence > 0.0 and impossible[b] == 0:
                    impossible[b] = t + 1
                for j in range(states):
                    belief = joint[j] / evidence
                    beliefs[b, t + 1, j] = belief
                    underflow[b] |= 0.0 < belief < smallest_belief
                if LOW < product * evidence < HIGH:
                    product *= evidence
                else:
                    log_probability[b] += math.log(product) + math.log(evidence)
                    product = 1.0
            log_probability[b] += math.log(product)

    return kernel


@compiled
def filter_in_logs(stack, index, lengths, log_beliefs, log_probability, impossible):
    """Fill log_beliefs (B, n+1, S) after the initial ones, with logarithms throughout."""
    batch, steps = index.shape
    states = stack.shape[-1]
    for b in range(batch):
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


# ── backward ─────────────────────────────────────────────────────────────────────────────────────


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


# ── sampling ─────────────────────────────────────────────────────────────────────────────────────


@compiled
def possible_moves(transitions):
    """Return the symbols and next states of each state's possible moves, and running sums of their probabilities.

    All have shape (R, S, most moves of any state); a state with fewer moves repeats its last sum.
    """
    rows, symbols, states, _ = transitions.shape
    most = 1
    for r in range(rows):
        for i in range(states):
            count = 0
            for x in range(symbols):
                for j in range(states):
                    count += transitions[r, x, i, j] > 0.0
            most = max(most, count)
    emitted = np.zeros((rows, states, most), dtype=np.int64)
    reached = np.zeros((rows, states, most), dtype=np.int64)
    sums = np.zeros((rows, states, most))
    for r in range(rows):
        for i in range(states):
            total, k = 0.0, 0
            for x in range(symbols):
                for j in range(states):
                    if transitions[r, x, i, j] > 0.0:
                        total += transitions[r, x, i, j]
                        emitted[r, i, k], reached[r, i, k], sums[r, i, k] = x, j, total
                        k += 1
            sums[r, i, k:] = total
    return emitted, reached, sums


@compiled
def search(sums, uniform):
    """Find by bisection the first index whose running sum exceeds uniform."""
    low, high = 0, sums.size - 1
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def walk(emitted, reached, sums, initial_sums, row, initial_row, uniforms, observations, latents):
    """Fill observations (B, n) and latents (B, n+1) with paths of the process, given uniforms (B, n+1).

    emitted, reached and sums (R, S, K) come from `possible_moves`; initial_sums (I, S) are the running sums over the
    first state. All sums end at exactly 1, which no uniform draw reaches. row and initial_row (B,) index the
    distributions of each problem.
    """
    batch, positions = uniforms.shape
    for b in range(batch):
        state = search(initial_sums[initial_row[b]], uniforms[b, 0])
        latents[b, 0] = state
        for t in range(positions - 1):
            k = search(sums[row[b], state], uniforms[b, t + 1])
            observations[b, t] = emitted[row[b], state, k]
            state = reached[row[b], state, k]
            latents[b, t + 1] = state
