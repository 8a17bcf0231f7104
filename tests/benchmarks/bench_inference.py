"""Do the compiled kernels earn their place? Each is timed beside plain batched numpy, on the same input.

Run with ``make bench``; results agree before anything is timed, and compilation is not counted.
"""

import numpy as np
import pytest

from unamortized import build_process, filter_beliefs
from unamortized.worlds.inference import random_paths

SIZES = {
    "mess3_1024x64x3": ("mess3", {"x": 0.05, "a": 0.85}, 1024, 64),
    "mess3_16384x64x3": ("mess3", {"x": 0.05, "a": 0.85}, 16384, 64),
    "noisy_permutation_256x16x5": ("noisy_permutation", {"informativeness": 1.0}, 256, 16),
    "group_word_s5_256x16x120": ("group_word", {"group": "S5", "generators": 3}, 256, 16),
}


def numpy_filter(transitions, initial, observations):
    """Batched forward filtering, one array operation a step."""
    beliefs = np.empty((len(observations), observations.shape[1] + 1, len(initial)))
    beliefs[:, 0] = initial
    for step in range(observations.shape[1]):
        joint = np.einsum("bi,bij->bj", beliefs[:, step], transitions[observations[:, step]])
        beliefs[:, step + 1] = joint / joint.sum(axis=1, keepdims=True)
    return beliefs


def _problem(name):
    family, parameters, batch, steps = SIZES[name]
    process = build_process(family, **parameters)
    observations = random_paths(process.transitions, process.initial, steps, batch, 0).observations
    return process.transitions, process.initial, observations


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", ["kernel", "numpy"])
def bench_filter(benchmark, size, implementation):
    """Forward filtering of a batch."""
    problem = _problem(size)
    benchmark.group = f"filter {size}"
    np.testing.assert_allclose(filter_beliefs(*problem).beliefs, numpy_filter(*problem), atol=1e-12)
    benchmark(filter_beliefs if implementation == "kernel" else numpy_filter, *problem)
