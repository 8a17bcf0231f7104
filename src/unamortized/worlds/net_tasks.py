"""A task about a Bayes net: the net, the windows that training shows, and the pairs of variables that tests ask about.

This is the schema of task files with ``net:`` in place of ``process:``. ``steps`` counts edges of the net: the radius
of a window in training, and the distance between the two variables of a question in tests. Each seed has its own net,
so that results do not hang on a single one.
"""

from functools import lru_cache
from itertools import combinations
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field, model_validator

from unamortized.configuration.field_errors import Violations, violation_error
from unamortized.configuration.schema import Count, Index, Name, Spec
from unamortized.worlds.nets import BayesNet, Shape, mutual_information, random_net
from unamortized.worlds.randomness import json_hash, stream
from unamortized.worlds.steps import Steps

LARGEST_NET = 256  # variables; variable elimination runs for every pair
NEAREST = 2  # steps between the variables of a pair; windows must be able to show neighbors
FARTHEST = 8  # at larger distances, variables are almost independent


class NetSpec(Spec):
    """A distribution over nets; each seed draws one."""

    shape: Shape = Field(examples=["chain"])
    variables: Annotated[int, Field(strict=True, ge=4, le=LARGEST_NET)] = Field(examples=[32])
    values: Annotated[int, Field(strict=True, ge=2, le=16)] = 2
    concentration: Annotated[float, Field(gt=0, le=100)] = 0.2  # Dirichlet, of the tables' rows; near 0: deterministic
    seed: Index = 0


class WindowSpec(Spec):
    """The size of windows: a geometric radius around a center, with variables dropped at random."""

    stop: Annotated[float, Field(gt=0, le=1)] = Field(examples=[0.5])  # probability that the window ends, per step
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(examples=[0.2])  # probability that a variable is hidden


class Pairs(NamedTuple):
    """Pairs of non-adjacent variables with high mutual information."""

    held_out: Int[np.ndarray, "pair 2"]  # never shown in one window
    seen: Int[np.ndarray, "pair 2"]  # selected in the same way, but windows may show both


class NetTask(Spec):
    """A task file about a net, validated and with defaults filled in."""

    name: Name = Field(examples=["my_net"])
    net: NetSpec
    windows: WindowSpec
    held_out_pairs: Count = Field(examples=[12])  # an upper bound: a net may have fewer
    steps: Steps  # train: smallest and largest radius of a window; test: distances to report

    @model_validator(mode="after")
    def _check_across_fields(self) -> "NetTask":
        violations: Violations = []
        if self.steps.test[0] < NEAREST:
            message = f"distances begin at {NEAREST}, since neighbors are never held out (got {self.steps.test[0]})"
            violations.append((("steps", "test"), message))
        most = (self.net.variables - 2) // 2  # on a chain of N variables, at most N - 2 pairs avoid each other's paths
        if self.held_out_pairs > most:
            message = f"must be at most {most} for {self.net.variables} variables (got {self.held_out_pairs})"
            violations.append((("held_out_pairs",), message))
        if violations:
            raise violation_error("task", violations)
        return self

    def build(self, seed: int) -> BayesNet:
        """Build the net of a seed; later calls return the same net."""
        return _build(self.net.model_dump_json(), seed)

    def pairs(self, seed: int) -> Pairs:
        """Select the pairs that tests ask about in the net of a seed."""
        return _choose(self.net.model_dump_json(), self.held_out_pairs, seed)

    def canonical(self) -> dict[str, Any]:
        """Return the task as JSON values: `NetTask.model_validate(task.canonical()) == task`."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Hash the fields that affect nets, windows and pairs; name and test distances are not among them."""
        spec = self.canonical()
        decisive = {part: spec[part] for part in ("net", "windows", "held_out_pairs")}
        return json_hash(decisive | {"radii": spec["steps"]["train"]})


@lru_cache(maxsize=32)
def _build(net_json: str, seed: int) -> BayesNet:
    spec = NetSpec.model_validate_json(net_json)
    generator = stream("net", net_json, seed)
    return random_net(spec.shape, spec.variables, spec.values, spec.concentration, generator)


@lru_cache(maxsize=32)
def _choose(net_json: str, size: int, seed: int) -> Pairs:
    """Select pairs with high mutual information, none on the path of another, and hold out half of them.

    If one pair lay on the path of another, holding it out would also break the chain of local steps between the ends
    of the other, and the error there would reflect two distances at once.
    """
    net, generator = _build(net_json, seed), stream("pairs", net_json, size, seed)
    distant = [pair for pair in combinations(range(net.n_variables), 2) if NEAREST <= net.distances[pair] <= FARTHEST]
    ranking = np.argsort([-mutual_information(net, *pair) for pair in distant], kind="stable")
    spans: dict[tuple[int, int], set[int]] = {}
    for pair in (distant[place] for place in [*generator.permutation(ranking[: 4 * size]), *ranking]):
        span = {*pair, *net.path(*pair)}
        if not any(span >= {*other} or other_span >= {*pair} for other, other_span in spans.items()):
            spans[pair] = span
        if len(spans) == 2 * size:
            break
    shuffled = generator.permutation(np.array([*spans]))
    return Pairs(held_out=shuffled[: len(shuffled) // 2], seen=shuffled[len(shuffled) // 2 :])
