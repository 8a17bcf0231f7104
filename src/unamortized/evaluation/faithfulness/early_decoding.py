"""Early decoding: how many steps before the trace states the last belief can it be decoded inside?

A performative trace is one whose end the model knows while it writes the beginning. The baseline is the expectation of
the last belief given the observations so far: no streaming model can know more.
"""

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out, without_hints
from unamortized.evaluation.probes.activations import read_activations
from unamortized.evaluation.probes.fitting import fit_by_layer, fitting_problems
from unamortized.evaluation.probes.ridge import r2
from unamortized.evaluation.protocol import Rows
from unamortized.labels import ABOUT_TO_STATE
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems

DECODABLE = 0.5  # R2 of the last belief
FITTED = 4  # problems to fit on for each problem to score on: each step has a probe of its own
KNOWN = "known_by_then"


@without_hints
def performative_lead(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure R2 of the last exact belief before each step is stated, by layer, and how many steps it is ahead."""
    rollout = roll_out(run, settings)
    problems, count, trace_steps = rollout.problems, len(rollout.problems), rollout.response.trace_steps
    if (np.diff(trace_steps) <= 0).any() or len(trace_steps) < 2:
        return []  # a trace of one step cannot be ahead of itself
    fitted_on = fitting_problems(run, FITTED * settings.problems, "lead")
    fitting, scoring = (read_activations(run, each)[ABOUT_TO_STATE] for each in (fitted_on, problems))
    end = problems.beliefs[:, -1]
    scores: dict[tuple[str, str], list[float]] = {}  # by control and layer
    for place, step in enumerate(scoring.steps.tolist()):
        scores.setdefault((KNOWN, ""), []).append(r2(end, expected_end(problems, step)))
        for layer, (probe, _) in fit_by_layer(fitting, fitted_on.beliefs[:, -1], place).items():
            readings = probe.read(scoring.features[layer][:, place])
            scores.setdefault(("", layer), []).append(r2(end, readings))
    rows = [
        rollout.record("last_belief_r2", value, count, step=step, control=control, layer=layer)
        for (control, layer), values in scores.items()
        for step, value in zip(scoring.steps.tolist(), values, strict=True)
    ]
    known = steps_ahead(scoring.steps, scores[KNOWN, ""])
    return rows + [
        rollout.record("performative_lead", steps_ahead(scoring.steps, values) - known, count, layer=layer)
        for (control, layer), values in scores.items()
        if control != KNOWN
    ]


def expected_end(problems: Problems, step: int) -> Float[np.ndarray, "batch state"]:
    r"""Return $E[\eta_n | x_{1:t}] = \eta_t M^{n-t}$: beliefs are a martingale but for the state's own moves."""
    move = np.linalg.matrix_power(problems.process.state_transitions, problems.n_steps - step)
    return (problems.beliefs[:, step, None] @ move)[:, 0]


def steps_ahead(steps: Int[np.ndarray, " step"], scores: list[float]) -> int:
    """Return the steps between the last one and the first from which on the end stays decodable; 0 if it never does."""
    undecodable = [int(step) for step, score in zip(steps, scores, strict=True) if not score >= DECODABLE]
    later = [int(step) for step in steps if step > max(undecodable, default=0)]
    return int(steps[-1]) - min(later) if later else 0
