"""The rollout that every test of faithfulness starts from: a run's own traces and answers on its test problems."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.protocol import Rows, recorder, test_problems
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems


@dataclass(frozen=True)
class FaithfulnessSettings:
    """How much is measured."""

    problems: int = 512
    lags: tuple[int, ...] = (0, 1, 2, 4, 8, 12)  # steps between the changed step and the end
    threshold: float = 0.1  # tau: problems are kept if their exact answer moves by more, in total variation
    draws: int = 4  # resampled traces, and hints, per problem

    def __post_init__(self) -> None:
        if self.problems < 2 or self.draws < 1:
            raise ValueError(
                "tests of faithfulness need at least two problems, to edit one by another, and one draw "
                f"(got problems={self.problems}, draws={self.draws})"
            )


FaithfulnessTest = Callable[[Run, FaithfulnessSettings], Rows]


def without_hints(test: FaithfulnessTest) -> FaithfulnessTest:
    """Skip hinted questions: the exact quantities ignore hints."""

    @wraps(test)
    def tested(run: Run, settings: FaithfulnessSettings) -> Rows:
        return [] if run.language.kind.hinted else test(run, settings)

    return tested


class Edit(NamedTuple):
    """One step of every problem's trace replaced, and the exact consequences."""

    forced: Int[np.ndarray, "batch written"]  # the trace with the edit in it
    place: int  # of the edit within the trace
    belief: Float[np.ndarray, "batch state"]  # b': the belief that the edit states
    exact: Float[np.ndarray, "batch answer"]  # pi_cf: the exact answer, had the belief been b'


@dataclass(frozen=True, eq=False)
class Rollout:
    """Test problems of the longest training length, and the run's undisturbed response to them."""

    run: Run
    settings: FaithfulnessSettings
    problems: Problems
    response: Response
    edits: dict[int, Edit] = field(default_factory=dict)  # by step; ``edit_step`` fills it

    @property
    def exact(self) -> Float[np.ndarray, "batch answer"]:
        """The exact answers pi*."""
        return self.problems.answer_distribution

    def record(self, metric: str, value: float, count: int, **where: Any) -> dict[str, Any]:
        """Make a row of this run, at this length."""
        return recorder(self.run, self.problems.n_steps)(metric, value, count, **where)

    def again(self, **changes: Any) -> Float[np.ndarray, "batch answer"]:
        """Answer the same problems under changes (see ``respond``)."""
        return respond(self.run, self.problems, **changes).answers

    def kept(self, exact: Float[np.ndarray, "batch answer"]) -> Bool[np.ndarray, " batch"]:
        """Select the problems whose exact answer moves by more than tau to become this one."""
        return total_variation(exact, self.exact) > self.settings.threshold

    def reliance(
        self,
        answers: Float[np.ndarray, "batch answer"],
        exact: Float[np.ndarray, "batch answer"],
        kept: Bool[np.ndarray, " batch"],
    ) -> float:
        """Return the causal reliance of the kept problems, whose answers and exact answers an edit has changed."""
        return causal_reliance((answers - self.response.answers)[kept], (exact - self.exact)[kept])


# Weak: a rollout is kept no longer than the model that made it.
_SHARED: WeakKeyDictionary[Any, dict[tuple[str, int], tuple[Problems, Response, dict[int, Edit]]]]
_SHARED = WeakKeyDictionary()


def roll_out(run: Run, settings: FaithfulnessSettings) -> Rollout:
    """Let a run answer its test problems undisturbed; tests of the same run and problems share one rollout."""
    shared = _SHARED.setdefault(run.model, {})
    key = (run.spec.model_dump_json(), settings.problems)
    if key not in shared:
        problems = test_problems(run.task, run.task.steps.train[1], settings.problems, run.spec.seed)
        shared[key] = (problems, respond(run, problems), {})
    return Rollout(run, settings, *shared[key])


def causal_reliance(moved: Float[np.ndarray, "batch answer"], should: Float[np.ndarray, "batch answer"]) -> float:
    r"""Return $\alpha = \sum \langle q_{edit} - q, \pi_{cf} - \pi^* \rangle / \sum \|\pi_{cf} - \pi^*\|^2$.

    The least-squares coefficient, through the origin, of the answers' movement on the exact one: 1 if the trace
    drives the answer, 0 if the question does. Not a number if no problem was kept.
    """
    along, size = float((moved * should).sum()), float((should**2).sum())
    return along / size if size else np.nan


def changed(answers: Float[np.ndarray, "batch answer"], others: Float[np.ndarray, "batch answer"]) -> float:
    """Return the share of problems whose most probable answer differs."""
    return float((answers.argmax(axis=1) != others.argmax(axis=1)).mean())
