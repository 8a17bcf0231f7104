"""A task about a Bayes net: the net, the windows through which it is seen, and the pairs asked about.

The schema of task files that have ``net:`` where others have ``process:``. Steps are edges of the net: a
window is all that lies within so many steps of its center, and a question spans so many. Each seed has a net
of its own, as what holds for one net may not hold for the next.
"""

import hashlib
import json
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import AfterValidator, Field, model_validator

from unamortized.configuration.field_errors import combined
from unamortized.worlds.nets import BayesNet, Shape, mutual_information, random_net
from unamortized.worlds.randomness import stream
from unamortized.worlds.spec import Complaints, Spec, Steps, snake_case

LARGEST_NET = 256  # variables; elimination is asked for every pair of them
NEAREST = 2  # steps between the variables of a pair; neighbors are what windows are there to show
FARTHEST = 8  # beyond, hardly anything is left to be known


class NetSpec(Spec):
    """Which nets: each seed draws one of them."""

    shape: Shape = Field(examples=["chain"])
    variables: Annotated[int, Field(strict=True, ge=4, le=LARGEST_NET)] = Field(examples=[32])
    values: Annotated[int, Field(strict=True, ge=2, le=16)] = 2
    concentration: Annotated[float, Field(gt=0, le=100)] = 0.2  # of the tables' rows; near 0, deterministic
    seed: Annotated[int, Field(strict=True, ge=0)] = 0


class WindowSpec(Spec):
    """How much of the net a window shows: a geometric number of steps around a center, with holes."""

    stop: Annotated[float, Field(gt=0, le=1)] = Field(examples=[0.5])  # after each step, the window ends with it
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(examples=[0.2])  # share of variables that are left out


class Pairs(NamedTuple):
    """Pairs of variables that say much about each other though no edge joins them."""

    held_out: Int[np.ndarray, "pair 2"]  # never shown in one window
    seen: Int[np.ndarray, "pair 2"]  # chosen alike, but shown wherever a window has both


class NetTask(Spec):
    """One task file with a net, checked and complete."""

    name: Annotated[str, AfterValidator(snake_case)] = Field(examples=["my_net"])
    net: NetSpec
    windows: WindowSpec
    held_out_pairs: Annotated[int, Field(strict=True, ge=1)] = Field(examples=[12])  # at most: a net may have fewer
    steps: Steps  # train: fewest and most steps from a window's center; test: distances that are told apart

    @model_validator(mode="after")
    def _fits_together(self) -> "NetTask":
        wrong: Complaints = []
        if self.steps.test[0] < NEAREST:
            message = f"distances begin at {NEAREST}, as neighbors are never held out (got {self.steps.test[0]})"
            wrong.append((("steps", "test"), message))
        most = (self.net.variables - 2) // 2  # of a chain, N - 2 pairs at most lie outside of one another
        if self.held_out_pairs > most:
            message = f"must be at most {most} for {self.net.variables} variables (got {self.held_out_pairs})"
            wrong.append((("held_out_pairs",), message))
        if wrong:
            raise combined("task", wrong)
        return self

    def build(self, seed: int) -> BayesNet:
        """The net of a seed; built once."""
        return _build(self.net.model_dump_json(), seed)

    def pairs(self, seed: int) -> Pairs:
        """The pairs asked about in the net of a seed; chosen once."""
        return _choose(self.net.model_dump_json(), self.held_out_pairs, seed)

    def canonical(self) -> dict[str, Any]:
        """The task as JSON values: `NetTask.model_validate(task.canonical()) == task`."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Equal for equal nets, windows and pairs; not of the name, nor of the distances tested."""
        spec = self.canonical()
        decisive = {part: spec[part] for part in ("net", "windows", "held_out_pairs")} | {
            "radii": spec["steps"]["train"]
        }
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=32)
def _build(net_json: str, seed: int) -> BayesNet:
    spec = NetSpec.model_validate_json(net_json)
    generator = stream("net", net_json, seed)
    return random_net(spec.shape, spec.variables, spec.values, spec.concentration, generator)


@lru_cache(maxsize=32)
def _choose(net_json: str, size: int, seed: int) -> Pairs:
    """Of the pairs with the most mutual information, some that do not lie on one another's paths; half are held out.

    A pair on the path of another would break the local steps that lead from one end to the other: what is
    measured there were two distances at once.
    """
    net, generator = _build(net_json, seed), stream("pairs", net_json, size, seed)
    apart = [pair for pair in combinations(range(net.n_variables), 2) if NEAREST <= net.distances[pair] <= FARTHEST]
    information = np.array([mutual_information(net, *pair) for pair in apart])
    best = np.argsort(-information, kind="stable")[: 4 * size]
    spans: dict[tuple[int, int], set[int]] = {}
    for pair in (apart[place] for place in [*generator.permutation(best), *np.argsort(-information, kind="stable")]):
        span = {*pair, *net.path(*pair)}
        if not any(span >= {*other} or spanned >= {*pair} for other, spanned in spans.items()):
            spans[pair] = span
        if len(spans) == 2 * size:
            break
    chosen = np.array([*spans])
    mixed = chosen[generator.permutation(len(chosen))]
    return Pairs(held_out=mixed[: len(mixed) // 2], seen=mixed[len(mixed) // 2 :])
