"""Generalized hidden Markov processes (GHMMs): low-dimensional, but no finite hidden Markov model generates them.

Their matrices have negative entries, and their predictive vectors are not distributions over states; only readouts are
probabilities. Family names are those of the process library simplexity; definitions follow Riechers, Elliott & Shai
(2025), "Neural networks leverage nominally quantum and post-quantum representations", appendix D.
"""

import math
from fractions import Fraction
from typing import Annotated

import numpy as np

from unamortized.worlds.processes.process import Between, Process

LARGEST_DENOMINATOR = 12  # of fractions that count as rational, since every float is a fraction


def tom_quantum(
    alpha: Annotated[float, Between(0, 1000)] = 1.0, beta: Annotated[float, Between(-1000, 1000)] = math.sqrt(51)
) -> Process:
    r"""Measure a qubit weakly along z or x: the Bloch walk (Riechers et al. 2025, appendix D.2).

    Kraus operators $K = \gamma (\alpha I \pm \beta \sigma)$ with $\sigma = \sigma_z$ for symbols 0 and 1,
    $\sigma_x$ for 2 and 3, and $\gamma = 1 / (2 \sqrt{\alpha^2 + \beta^2})$. Vectors are $(1, b_x, b_z)$ in the
    Bloch disk, with their first entry as the readout; the start is the fully mixed qubit. Only beta / alpha matters: at
    1, each measurement is projective and erases the past; near 0 and far above 1, it carries little information.
    """
    size = math.hypot(alpha, beta)
    if size == 0:
        raise ValueError("alpha must be positive if beta is 0")
    alpha, beta = alpha / size, beta / size  # gamma is now 1/2
    along, across, turn = 1 / 4, (alpha**2 - beta**2) / 4, alpha * beta / 2
    z = [np.array([[along, 0, sign * turn], [0, across, 0], [sign * turn, 0, along]]) for sign in (1, -1)]
    x = [np.array([[along, sign * turn, 0], [sign * turn, along, 0], [0, 0, across]]) for sign in (1, -1)]
    first = np.eye(3)[0]
    return Process(np.stack([*z, *x]), initial=first, readout=first, state_names=("I", "X", "Z"))


def fanizza(
    alpha: Annotated[float, Between(-10_000, 10_000)] = 2000.0, lam: Annotated[float, Between(0, 0.5)] = 0.49
) -> Process:
    r"""Renew after intervals whose probability oscillates: FRDN (Fox, Rubin, Dharmadhikari & Nadkarni).

    After each symbol a, n ≥ 1 symbols b precede the next a with probability $\lambda^n \sin^2(n \alpha / 2)$, and
    none with the remaining probability (Fanizza, Lumbreras & Winter 2024; Riechers et al. 2025, appendix D.3). If
    $\alpha / \pi$ is irrational, no finite hidden Markov model generates these words, but a qutrit does. alpha is in
    radians.
    """
    cos, sin = math.cos(alpha), math.sin(alpha)
    distance = (1 - lam * cos) ** 2 + (lam * sin) ** 2
    plus, minus = (1 - lam * cos + lam * sin) / distance, (1 - lam * cos - lam * sin) / distance
    rest = 1 / (2 * (1 - lam))
    renewed = np.array([1 - rest + (plus + minus) / 4, rest, -plus / 4, -minus / 4])
    turn = np.zeros((4, 4))
    turn[1, 1] = 1
    turn[2:, 2:] = [[cos, -sin], [sin, cos]]
    readout = np.ones(4)
    ending = readout - lam * turn @ readout  # P(a | vector), since there are only two symbols
    return Process(np.stack([np.outer(ending, renewed), lam * turn]), readout=readout, symbol_names=("a", "b"))


def post_quantum(
    log_alpha: Annotated[float, Between(0.01, 5)] = 1.0, beta: Annotated[float, Between(0.01, 0.99)] = 0.5
) -> Process:
    r"""Use three dimensions, but no finite quantum system: the Moon process (Fanizza et al. 2024).

    $T^{(a)} = \nu m_0 \mu_0$ with $m_0 = (1, 1, 0)$, $\mu_0 = (1, -1, -1)$ resets; $T^{(b)} = \nu M(\alpha)$,
    $T^{(c)} = \nu M(\beta)$, where $M(e^t) M(e^s) = M(e^{t+s})$ and $\mu_0 M(e^t) m_0 = e^t - 1 - t \ge 0$;
    $\nu$ makes 1 the largest eigenvalue of their sum (Riechers et al. 2025, appendix D.4). The readout is scaled so
    that the vector after a reset is $\mu_0$. The theorem needs $\alpha > 1 > \beta > 0$, $\alpha + \beta \ne 2$ and an
    irrational $\ln \alpha / \ln \beta$, which is checked for small denominators.
    """
    alpha, log_beta = math.exp(log_alpha), math.log(beta)
    if math.isclose(alpha + beta, 2, rel_tol=1e-9):
        raise ValueError(f"log_alpha must not be {math.log(2 - beta):g}, ln(2 - beta), so that alpha + beta is not 2")
    ratio = log_alpha / log_beta
    near = Fraction(ratio).limit_denominator(LARGEST_DENOMINATOR)
    if math.isclose(ratio, near, rel_tol=1e-9):
        raise ValueError(f"log_alpha must not be a rational multiple of ln(beta) (got {near} times {log_beta:g})")
    reset = np.array([1.0, -1, -1])
    moves = [[[size, 0, 0], [0, 1, 0], [0, log, 1]] for size, log in ((alpha, log_alpha), (beta, log_beta))]
    weights = np.array([np.outer([1, 1, 0], reset), *moves])
    values, vectors = np.linalg.eig(weights.sum(axis=0))
    largest = int(np.argmax(np.abs(values)))  # real and simple, since all vectors stay in one cone
    scale, readout = float(np.real(values[largest])), np.real(vectors[:, largest])
    return Process(weights / scale, readout=readout / (reset @ readout), symbol_names=("a", "b", "c"))
