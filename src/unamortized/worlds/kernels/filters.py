"""Forward filtering: beliefs and evidence of every problem, in plain numbers or in logarithms."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from unamortized.worlds.kernels.running import INTERLEAVED, PARTS_PER_THREAD, compiled, in_threads, slices, threads_for

SMALLEST_PRODUCT = 1e-290  # of a belief and an entry; float64 is precise down to 2e-308
LOW, HIGH = 1e-150, 1e150  # the product of two numbers in this range is within float64's range
UNROLLED = 8  # loops over up to this many states are unrolled at compile time, which is two to three times as fast
WIDE = 16  # dense matrices with at least this many states go to BLAS
GROUP, ROWS = 128, 8  # problems per group, and problems per BLAS product; BLAS rounds differently for other sizes
SPARSE = 0.25  # if a smaller share of entries is above zero, the kernel iterates over a list of them
NO_LISTS = np.empty((1, 1), dtype=np.int64), np.empty(0, dtype=np.int64)


def filter_plainly(
    stack: np.ndarray, index: np.ndarray, lengths: np.ndarray, initial: np.ndarray, *filled: np.ndarray
) -> None:
    """Fill beliefs (B, n+1, S), log_probability, the first impossible step or 0, and underflow (all B,).

    Values after an impossible step or an underflow are meaningless.
    """
    states, entries = initial.shape[1], filled[0].size
    smallest_entry, count = survey(stack)
    dense = count >= SPARSE * stack.size
    listed = states > UNROLLED and not dense and 16 * stack.size <= entries  # else listing costs more than it saves
    starts, columns = entries_of(stack, count) if listed else NO_LISTS
    if dense and states >= WIDE and len(stack) <= GROUP:
        kernel = filter_by_products
    else:
        kernel = filter_kernel(states if states <= UNROLLED else 0)
    shared = (stack, starts, columns, SMALLEST_PRODUCT / smallest_entry)
    threads, rows = threads_for(3 * entries), len(index)
    size = rows if threads == 1 else -(-rows // (threads * PARTS_PER_THREAD))
    batch = (index, lengths, initial, *filled)
    in_threads(kernel, ((*shared, *(array[part] for array in batch)) for part in slices(rows, size)), threads)


@compiled
def survey(stack):
    """Return the smallest entry above zero, at most 1, and the number of entries above zero."""
    smallest, count = 1.0, 0
    for entry in stack.reshape(-1):
        if entry > 0.0:
            count += 1
            if entry < smallest:
                smallest = entry
    return smallest, count


@compiled
def entries_of(stack, count):
    """List the entries above zero: row i of matrix m has columns[starts[m, i] : starts[m, i + 1]]."""
    matrices, states, _ = stack.shape
    starts = np.empty((matrices, states + 1), dtype=np.int64)
    columns = np.empty(count, dtype=np.int64)
    k = 0
    for m in range(matrices):
        for i in range(states):
            starts[m, i] = k
            for j in range(states):
                if stack[m, i, j] > 0.0:
                    columns[k] = j
                    k += 1
        starts[m, states] = k
    return starts, columns


@compiled
def set_initial(first, last, initial, smallest_belief, product, beliefs, underflow):
    """Set the initial beliefs of problems from ``first`` to before ``last``, and their products of evidence to 1."""
    for b in range(first, last):
        product[b - first] = 1.0
        for i in range(initial.shape[1]):
            beliefs[b, 0, i] = initial[b, i]
            underflow[b] |= 0.0 < initial[b, i] < smallest_belief


@compiled
def settle(joint, row, smallest_belief, beliefs, b, t):
    """Set beliefs[b, t] to a row of ``joint`` over its sum; return the sum, and whether a belief is too small."""
    states = joint.shape[1]
    evidence = 0.0
    for j in range(states):
        evidence += joint[row, j]
    small = 0
    for j in range(states):
        belief = joint[row, j] / evidence
        beliefs[b, t, j] = belief
        small |= (belief > 0.0) & (belief < smallest_belief)
    return evidence, small > 0


@compiled
def account(evidence, product, b, log_probability):
    """Multiply evidence into the product, or move both into log_probability if the product would leave the range."""
    longer = product * evidence
    if LOW < longer < HIGH:
        return longer
    log_probability[b] += math.log(product) + math.log(evidence)
    return 1.0


@cache
def filter_kernel(constant: int) -> Callable[..., None]:
    """Return the kernel of ``filter_plainly`` for a number of states fixed at compile time, or for any number (0)."""

    @compiled
    def filter_in_step(
        stack,
        starts,
        columns,
        smallest_belief,
        index,
        lengths,
        initial,
        beliefs,
        log_probability,
        impossible,
        underflow,
    ):
        batch, steps = index.shape
        states = constant if constant else initial.shape[1]
        joint = np.empty(states)
        product = np.empty(INTERLEAVED)
        for first in range(0, batch, INTERLEAVED):
            last = min(first + INTERLEAVED, batch)
            set_initial(first, last, initial, smallest_belief, product, beliefs, underflow)
            for t in range(steps):
                for b in range(first, last):
                    if t >= lengths[b]:
                        for j in range(states):
                            beliefs[b, t + 1, j] = beliefs[b, t, j]
                        continue
                    m = np.uint64(index[b, t])  # numba skips the check for negative indices
                    if constant:
                        for j in range(constant):
                            joint[j] = beliefs[b, t, 0] * stack[m, 0, j]
                        for i in range(1, constant):
                            for j in range(constant):
                                joint[j] += beliefs[b, t, i] * stack[m, i, j]
                    else:
                        for j in range(states):
                            joint[j] = 0.0
                        for i in range(states):
                            weight = beliefs[b, t, i]
                            if weight > 0.0:
                                if columns.size:
                                    for k in range(starts[m, i], starts[m, i + 1]):
                                        joint[columns[k]] += weight * stack[m, i, columns[k]]
                                else:
                                    for j in range(states):
                                        joint[j] += weight * stack[m, i, j]
                    evidence = 0.0
                    for j in range(states):
                        evidence += joint[j]
                    suspect = True
                    if constant:  # one comparison instead of one per state
                        smallest = 1.0
                        for j in range(states):
                            belief = joint[j] / evidence
                            beliefs[b, t + 1, j] = belief
                            smallest = belief if belief < smallest else smallest
                        suspect = not (evidence > 0.0 and smallest >= smallest_belief)
                    else:
                        for j in range(states):
                            beliefs[b, t + 1, j] = joint[j] / evidence
                    if suspect:
                        if not evidence > 0.0 and impossible[b] == 0:
                            impossible[b] = t + 1
                        small = 0
                        for j in range(states):
                            small |= (beliefs[b, t + 1, j] > 0.0) & (beliefs[b, t + 1, j] < smallest_belief)
                        if small:
                            underflow[b] = True
                    longer = product[b - first] * evidence  # `account`, inlined, since a call would be slower here
                    if LOW < longer < HIGH:
                        product[b - first] = longer
                    else:
                        log_probability[b] += math.log(product[b - first]) + math.log(evidence)
                        product[b - first] = 1.0
            for b in range(first, last):
                log_probability[b] += math.log(product[b - first])

    return filter_in_step


@compiled
def filter_by_products(
    stack, starts, columns, smallest_belief, index, lengths, initial, beliefs, log_probability, impossible, underflow
):
    """Filter with wide, dense matrices: one product per group of problems with the same symbol."""
    batch, steps = index.shape
    states = initial.shape[1]
    before, joint = np.zeros((ROWS, states)), np.zeros((ROWS, states))
    product = np.empty(GROUP)
    chosen = np.empty(GROUP, dtype=np.int64)
    for first in range(0, batch, GROUP):
        last = min(first + GROUP, batch)
        set_initial(first, last, initial, smallest_belief, product, beliefs, underflow)
        for t in range(steps):
            for b in range(first, last):
                if t >= lengths[b]:
                    beliefs[b, t + 1] = beliefs[b, t]
            for m in range(len(stack)):
                count = 0
                for b in range(first, last):
                    if t < lengths[b] and index[b, t] == m:
                        chosen[count] = b
                        count += 1
                for begin in range(0, count, ROWS):
                    end = min(begin + ROWS, count)
                    for c in range(begin, end):
                        for i in range(states):
                            before[c - begin, i] = beliefs[chosen[c], t, i]
                    np.dot(before, stack[m], joint)
                    for c in range(begin, end):
                        b = chosen[c]
                        evidence, small = settle(joint, c - begin, smallest_belief, beliefs, b, t + 1)
                        underflow[b] |= small
                        if not evidence > 0.0 and impossible[b] == 0:
                            impossible[b] = t + 1
                        product[b - first] = account(evidence, product[b - first], b, log_probability)
        for b in range(first, last):
            log_probability[b] += math.log(product[b - first])


@compiled
def filter_in_logs(stack, index, lengths, log_initial, log_beliefs, log_probability, impossible):
    """Filter with logarithms throughout: log_initial (B, S) in, log_beliefs (B, n+1, S) out."""
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
