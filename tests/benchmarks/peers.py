"""The same computations in batched numpy, JAX, dynamax and hmmlearn, each as fast as possible.

Functions of JAX return (step, problem, ...), which saves a transposition.
"""

import warnings
from functools import partial

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # dynamax uses deprecated parts of jax
    import jax
    import jax.numpy as jnp
    from dynamax.hidden_markov_model import CategoricalHMM, hmm_filter
    from hmmlearn import _hmmc, hmm

jax.config.update("jax_enable_x64", True)


def state_emitting(transitions):
    """Return transitions (S, S) and emissions (S, V) of a process whose symbols depend on the next state alone."""
    moves = transitions.sum(axis=0)
    emissions = (transitions / moves).mean(axis=1).T
    np.testing.assert_allclose(moves * emissions.T[:, None, :], transitions, atol=1e-15)
    return moves, emissions


# ── filtering: beliefs after each observation, and log P(x_1..n) ─────────────────────────────────


def numpy_filter(transitions, initial, observations):
    """One array operation a step; with many states, one product a symbol."""
    batch, steps = observations.shape
    beliefs = np.empty((batch, steps + 1, len(initial)))
    beliefs[:, 0] = initial
    log_probability = np.zeros(batch)
    joint = np.empty((batch, len(initial)))
    for step in range(steps):
        symbols = observations[:, step]
        if len(initial) < 16:
            joint = np.einsum("bi,bij->bj", beliefs[:, step], transitions[symbols])
        else:
            for symbol, matrix in enumerate(transitions):
                rows = np.flatnonzero(symbols == symbol)
                joint[rows] = beliefs[rows, step] @ matrix
        evidence = joint.sum(axis=1)
        log_probability += np.log(evidence)
        beliefs[:, step + 1] = joint / evidence[:, None]
    return beliefs[:, 1:], log_probability


def _scan(move, initial, observations, unroll):
    def step(belief, symbols):
        joint = move(belief, symbols)
        evidence = joint.sum(axis=1)
        belief = joint / evidence[:, None]
        return belief, (belief, evidence)

    start = jnp.broadcast_to(initial, (observations.shape[0], initial.shape[0]))
    _, (beliefs, evidence) = jax.lax.scan(step, start, observations.T, unroll=unroll)
    return beliefs, jnp.log(evidence).sum(axis=0)


@jax.jit
def jax_one_hot(transitions, initial, observations):
    """One product of (symbol, state) with all matrices stacked: fastest for few states."""
    symbols, states, _ = transitions.shape
    matrix = transitions.reshape(symbols * states, states)

    def move(belief, observed):
        chosen = (observed[:, None] == jnp.arange(symbols))[:, :, None]
        return (chosen * belief[:, None, :]).reshape(-1, symbols * states) @ matrix

    return _scan(move, initial, observations, unroll=4)


@jax.jit
def jax_every_symbol(transitions, initial, observations):
    """One product with all matrices side by side, then a selection: fastest for many states."""
    symbols, states, _ = transitions.shape
    matrix = transitions.transpose(1, 0, 2).reshape(states, symbols * states)

    def move(belief, observed):
        moved = (belief @ matrix).reshape(-1, symbols, states)
        return jnp.take_along_axis(moved, observed[:, None, None], axis=1)[:, 0]

    return _scan(move, initial, observations, unroll=1)


@jax.jit
def jax_gather(transitions, initial, observations):
    """Look up each problem's own matrix."""
    return _scan(lambda b, x: jnp.einsum("bi,bij->bj", b, transitions[x]), initial, observations, unroll=4)


@jax.jit
def dynamax_labeled(transitions, initial, observations):
    """Use the labeled matrices as time-varying transitions without emissions."""
    steps = observations.shape[1]

    def one(symbols):
        matrix = lambda step: transitions[symbols[jnp.minimum(step, steps - 1)]]  # noqa: E731
        return hmm_filter(initial, None, jnp.zeros((steps + 1, len(initial))), transition_fn=matrix)

    posterior = jax.vmap(one)(observations)
    return posterior.filtered_probs[:, 1:], posterior.marginal_loglik


@jax.jit
def dynamax_state_emitting(moves, emissions, initial, observations):
    """Use dynamax's usual form: transitions and emissions."""
    log_likelihoods = jnp.log(emissions.T)
    one = lambda symbols: hmm_filter(initial @ moves, moves, log_likelihoods[symbols])  # noqa: E731
    posterior = jax.vmap(one)(observations)
    return posterior.filtered_probs, posterior.marginal_loglik


def hmmlearn_filter(moves, emissions, initial, observations):
    """Use the compiled forward pass, one call for each problem."""
    start = initial @ moves
    passes = [_hmmc.forward_scaling(start, moves, emissions.T[symbols]) for symbols in observations]
    return np.stack([beliefs for _, beliefs, _ in passes]), np.array([log for log, _, _ in passes])


# ── sampling: observations and latents ───────────────────────────────────────────────────────────


def _cumulative(library, transitions, initial):
    symbols, states, _ = transitions.shape
    moves = transitions.transpose(1, 0, 2).reshape(states, symbols * states).cumsum(axis=1)
    start = initial.cumsum()
    return moves / moves[:, -1:], start / start[-1]


def _invert(library, moves, state, uniform):
    """Find the first move whose running sum exceeds the draw, by comparison with all or by binary search."""
    count = moves.shape[1]
    if count <= 32:
        return (uniform[:, None] >= moves[state]).sum(axis=1)
    flat, low, left = moves.reshape(-1), state * count, count
    while left > 1:
        half = left // 2
        low = low + library.where(flat[low + half - 1] <= uniform, half, 0)
        left -= half
    return low - state * count


def numpy_paths(transitions, initial, steps, batch, seed):
    """One array operation a step."""
    moves, start = _cumulative(np, transitions, initial)
    uniforms = np.random.default_rng(seed).random((batch, steps + 1))
    observations, latents = np.empty((batch, steps), dtype=np.int64), np.empty((batch, steps + 1), dtype=np.int64)
    latents[:, 0] = np.searchsorted(start, uniforms[:, 0], side="right")
    for step in range(steps):
        move = _invert(np, moves, latents[:, step], uniforms[:, step + 1])
        observations[:, step], latents[:, step + 1] = np.divmod(move, len(initial))
    return observations, latents


@jax.jit
def jax_paths_from(transitions, initial, uniforms):
    """Draw observations and latents from ``uniforms`` (step+1, problem)."""
    moves, start = _cumulative(jnp, transitions, initial)
    first = (uniforms[0, :, None] >= start).sum(axis=1)

    def step(state, uniform):
        symbol, state = jnp.divmod(_invert(jnp, moves, state, uniform), len(initial))
        return state, (symbol, state)

    _, (observations, latents) = jax.lax.scan(step, first, uniforms[1:])
    return observations, latents, first


@partial(jax.jit, static_argnames=("steps", "batch", "generator"))
def jax_paths(transitions, initial, steps, batch, seed, generator):
    """Draw with JAX's own generators: threefry2x32, the default, or rbg, which is faster."""
    uniforms = jax.random.uniform(jax.random.key(seed, impl=generator), (steps + 1, batch), dtype=transitions.dtype)
    return jax_paths_from(transitions, initial, uniforms)


def dynamax_sampler(moves, emissions, initial, steps, batch):
    """Return a function of a seed that samples a batch from dynamax's HMM."""
    model = CategoricalHMM(len(initial), 1, emissions.shape[1])
    parameters, _ = model.initialize(
        initial_probs=jnp.asarray(initial @ moves),
        transition_matrix=jnp.asarray(moves),
        emission_probs=jnp.asarray(emissions[:, None, :]),
    )
    one = lambda key: model.sample(parameters, key, num_timesteps=steps)  # noqa: E731
    together = jax.jit(lambda seed: jax.vmap(one)(jax.random.split(jax.random.key(seed), batch)))

    def sample(seed):
        states, symbols = together(seed)
        return symbols[..., 0], states

    return sample


def hmmlearn_paths(moves, emissions, initial, steps, batch, seed):
    """Use hmmlearn's own sampling, one call for each problem."""
    model = hmm.CategoricalHMM(len(initial), n_features=emissions.shape[1])
    model.startprob_, model.transmat_, model.emissionprob_ = initial @ moves, moves, emissions
    state = np.random.RandomState(seed)
    drawn = [model.sample(steps, random_state=state) for _ in range(batch)]
    return np.stack([symbols[:, 0] for symbols, _ in drawn]), np.stack([states for _, states in drawn])
