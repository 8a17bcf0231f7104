"""Exact filtering and sampling, compared with the fastest of numpy, JAX, dynamax and hmmlearn on the same input.

Run with ``make bench``. Results must agree, and compilation does not count. All implementations may use every core;
``kernel_one_thread`` is the kernel as a worker runs it. The table at the end compares with the fastest peer in float64.
"""

from typing import NamedTuple

import numpy as np
import pytest
from numba import config

from tests.benchmarks import peers
from unamortized import build_process, filter_beliefs
from unamortized.worlds.inference import random_paths

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jax, raised by dynamax


class Setting(NamedTuple):
    transitions: np.ndarray
    initial: np.ndarray
    batch: int
    steps: int
    state_emitting: bool


def dense_process(states, symbols):
    """Draw random labeled matrices without zeros."""
    generator = np.random.default_rng(0)
    moves = generator.dirichlet(np.ones(symbols * states), size=states).reshape(states, symbols, states)
    return np.ascontiguousarray(moves.transpose(1, 0, 2)), generator.dirichlet(np.ones(states))


def setting(size):
    """Build the process of a size."""
    family, batch, steps = SIZES[size]
    if family == "dense":
        return Setting(*dense_process(60, 4), batch, steps, False)
    known = {
        "mess3": ("mess3", {}),
        "permutation": ("noisy_permutation", {"informativeness": 1.0}),
        "a5": ("group_word", {"group": "A5"}),
        "a5four": ("group_word", {"group": "A5", "generators": 4}),
    }
    family, parameters = known[family]
    process = build_process(family, **parameters)
    return Setting(process.transitions, process.initial, batch, steps, family == "mess3")


SIZES = {  # process, problems and steps; the last number of a name is that of the states
    "mess3_1024x64x3": ("mess3", 1024, 64),
    "mess3_16384x64x3": ("mess3", 16384, 64),
    "mess3_1024x1024x3": ("mess3", 1024, 1024),
    "permutation_256x16x5": ("permutation", 256, 16),
    "a5four_4096x64x60": ("a5four", 4096, 64),
    "a5_4096x64x60": ("a5", 4096, 64),
    "dense_4096x64x60": ("dense", 4096, 64),
}
KERNELS = ("kernel", "kernel_one_thread")
JAX_FILTERS = ("jax_one_hot", "jax_every_symbol", "jax_gather")
FILTERS = (*KERNELS, "numpy", *JAX_FILTERS, "jax_float32", "dynamax_labeled", "dynamax", "hmmlearn")
SAMPLERS = (*KERNELS, "numpy", "jax_threefry", "jax_rbg", "jax_float32", "dynamax", "hmmlearn")


@pytest.fixture(autouse=True)
def threads(request, monkeypatch):
    if "kernel_one_thread" in request.node.name:
        monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 1)


def skip_unsupported(given, implementation, too_slow):
    many_states, many_symbols = len(given.initial) > 16, len(given.transitions) > 16
    if implementation in ("dynamax", "hmmlearn") and not given.state_emitting:
        pytest.skip("needs a symbol that depends on the next state alone")
    if implementation in too_slow or (many_states and implementation in ("jax_gather", "dynamax_labeled")):
        pytest.skip("many times slower")
    if many_symbols and implementation.startswith("jax") and implementation != "jax_rbg":
        pytest.skip("multiplies by every matrix at every step")


def on_device(*arrays, dtype=None):
    return [peers.jnp.asarray(a, dtype if a.dtype == np.float64 else None) for a in arrays]


@pytest.mark.parametrize("implementation", FILTERS)
@pytest.mark.parametrize("size", SIZES)
def bench_filter(benchmark, size, implementation):
    """Compute all beliefs and the log-probability of a batch."""
    given = setting(size)
    skip_unsupported(given, implementation, ("hmmlearn",) if given.batch * given.steps > 10**5 else ())
    observations = random_paths(given.transitions, given.initial, given.steps, given.batch, 0).observations
    problem = (given.transitions, given.initial, observations)
    exact = filter_beliefs(*problem)
    steps_first, tolerance = implementation.startswith("jax"), 1e-12
    if implementation in KERNELS:
        run = lambda: filter_beliefs(*problem)  # noqa: E731
    elif implementation == "numpy":
        run = lambda: peers.numpy_filter(*problem)  # noqa: E731
    elif implementation == "hmmlearn":
        arguments = (*peers.state_emitting(given.transitions), given.initial, observations)
        run = lambda: peers.hmmlearn_filter(*arguments)  # noqa: E731
    elif implementation == "dynamax":
        device = on_device(*peers.state_emitting(given.transitions), given.initial, observations)
        run = lambda: peers.jax.block_until_ready(peers.dynamax_state_emitting(*device))  # noqa: E731
    else:
        single = implementation == "jax_float32"
        fastest = "jax_every_symbol" if len(given.initial) > 16 else "jax_one_hot"
        function = getattr(peers, fastest if single else implementation)
        device = on_device(*problem, dtype=np.float32 if single else None)
        tolerance = 1e-4 if single else tolerance
        run = lambda: peers.jax.block_until_ready(function(*device))  # noqa: E731
    beliefs, log_probability = map(np.asarray, run())
    if implementation in KERNELS:
        beliefs = beliefs[:, 1:]
        numpy_beliefs, numpy_log = peers.numpy_filter(*problem)
        np.testing.assert_allclose(beliefs, numpy_beliefs, atol=tolerance)
        np.testing.assert_allclose(log_probability, numpy_log, rtol=1e-11)
    beliefs = beliefs.transpose(1, 0, 2) if steps_first else beliefs
    np.testing.assert_allclose(beliefs, exact.beliefs[:, 1:], atol=tolerance)
    np.testing.assert_allclose(log_probability, exact.log_probability, rtol=10 * tolerance)
    benchmark.group = f"filter {size}"
    benchmark.pedantic(run, rounds=15 if beliefs.size < 10**7 else 7, warmup_rounds=1)


@pytest.mark.parametrize("implementation", SAMPLERS)
@pytest.mark.parametrize("size", SIZES)
def bench_sample(benchmark, size, implementation):
    """Draw observations and latents of a batch."""
    given = setting(size)
    skip_unsupported(given, implementation, ("hmmlearn",) if given.batch * given.steps > 10**5 else ())
    count = (given.steps, given.batch)
    problem = (given.transitions, given.initial)
    exact = random_paths(*problem, *count, seed=0)
    if implementation in (*KERNELS, "numpy"):
        function = peers.numpy_paths if implementation == "numpy" else random_paths
        run = lambda: function(*problem, *count, 0)  # noqa: E731
        expected = peers.numpy_paths(*problem, *count, 0)
        for drawn, again in zip(run(), expected, strict=True):
            np.testing.assert_array_equal(drawn, again)
    elif implementation.startswith("jax"):
        device = on_device(*problem, dtype=np.float32 if implementation == "jax_float32" else None)
        generator = "threefry2x32" if implementation == "jax_threefry" else "rbg"
        uniforms = np.random.default_rng(0).random((given.batch, given.steps + 1)).T
        observations, latents, first = map(np.asarray, peers.jax_paths_from(*on_device(*problem), uniforms))
        np.testing.assert_array_equal(observations.T, exact.observations)
        np.testing.assert_array_equal(np.vstack([first, latents]).T, exact.latents)
        run = lambda: peers.jax.block_until_ready(peers.jax_paths(*device, *count, 1, generator))  # noqa: E731
    else:
        arguments = (*peers.state_emitting(given.transitions), given.initial, *count)
        if implementation == "dynamax":
            sample = peers.dynamax_sampler(*arguments)
            run = lambda: peers.jax.block_until_ready(sample(1))  # noqa: E731
        else:
            run = lambda: peers.hmmlearn_paths(*arguments, 1)  # noqa: E731
        observations, latents = map(np.asarray, run())
        for symbol in range(len(given.transitions)):  # other draws: compare joint frequencies
            for state in range(len(given.initial)):
                theirs = ((observations == symbol) & (latents == state)).mean()
                ours = ((exact.observations == symbol) & (exact.latents[:, 1:] == state)).mean()
                assert abs(theirs - ours) < 0.02
    benchmark.group = f"sample {size}"
    rounds = 1 if implementation == "hmmlearn" else 15 if given.batch * given.steps < 10**6 else 7
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=min(1, rounds - 1))
