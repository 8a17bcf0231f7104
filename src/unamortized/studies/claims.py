"""Claims as data: a hypothesis, the comparison that decides it, its control, and the verdict they allow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from unamortized.labels import place
from unamortized.studies.quantities import Comparison
from unamortized.studies.statistics import Estimate

Verdict = Literal["supported", "refuted", "inconclusive", "not measured"]


class World(NamedTuple):
    """A task as a study changed it."""

    task: str
    world: str = ""


@dataclass(frozen=True)
class Control:
    """A comparison that holds if another explanation of the measurement is wrong."""

    description: str
    holds: Comparison


@dataclass(frozen=True)
class Claim:
    """A hypothesis that a measurement can refute, judged in each of its worlds or across all of them."""

    name: str
    statement: str
    holds: Comparison
    control: Control
    worlds: tuple[World, ...] | None = None  # none: every world of the study
    across: World | None = None  # a task, and how its worlds differ, if it is judged on all of them together

    def applies(self, table: pd.DataFrame) -> bool:
        """Whether the table has the lengths that the claim compares."""
        readings = [*self.holds.quantity.readings(), *self.control.holds.quantity.readings()]
        for where in (dict(reading.where) for reading in readings):
            own = table
            for column in ("task", "world"):
                own = own[own[column] == where[column]] if column in where else own
            if where.get("n_steps") is not None and not own["n_steps"].eq(where["n_steps"]).any():
                return False
        return True

    def judge(self, world: World, table: pd.DataFrame) -> dict[str, Any]:
        """Return the claim with estimate and verdict on one world's metrics, ready for ``claims.json``.

        Supported: the whole interval lies in the range, and the control's in its own. Refuted: the interval lies wholly
        outside. Not measured: the claim or its control has fewer than two seeds. Inconclusive: anything else.
        """
        found, beside = (holds.quantity.estimate(table) for holds in (self.holds, self.control.holds))
        runs = {run for holds in (self.holds, self.control.holds) for run in holds.quantity.runs(table)}
        return {
            "name": self.name,
            "statement": self.statement,
            "task": world.task,
            "world": world.world,
            **_measured(found, self.holds),
            "control": {"description": self.control.description, **_measured(beside, self.control.holds)},
            "verdict": _verdict(found, self.holds, beside, self.control.holds),
            "runs": sorted(runs),
        }


def _verdict(found: Estimate | None, holds: Comparison, beside: Estimate | None, control: Comparison) -> Verdict:
    if found is None or beside is None or found.seeds < 2 or beside.seeds < 2:
        return "not measured"
    if holds.excludes(found):
        return "refuted"
    return "supported" if holds.holds(found) and control.holds(beside) else "inconclusive"


def _measured(found: Estimate | None, holds: Comparison) -> dict[str, Any]:
    return {
        "estimate": None if found is None else found.value,
        "interval": None if found is None or found.low is None else [found.low, found.high],
        "seeds": 0 if found is None else found.seeds,
        "unit": holds.quantity.unit,
        "range": [holds.low, holds.high],
    }


def judge_all(claims: Sequence[Claim], metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge every claim in each of its worlds that was measured; omit those that do not apply to its lengths."""
    worlds = [World(*pair) for pair in dict.fromkeys(zip(metrics["task"], metrics["world"], strict=True))]
    tables = {world: metrics[(metrics["task"] == world.task) & (metrics["world"] == world.world)] for world in worlds}
    judged = []
    for claim in claims:
        if claim.across:
            own = metrics[metrics["task"] == claim.across.task]
            measured = {claim.across: own} if len(own) else {}
        else:
            measured = {world: tables[world] for world in worlds if claim.worlds is None or world in claim.worlds}
        judged += [claim.judge(world, table) for world, table in measured.items() if claim.applies(table)]
    return judged


def measured(entry: dict[str, Any]) -> str:
    """Return the estimate of a judged claim, or of its control, in words."""
    if entry["estimate"] is None:
        return "not measured"
    interval = "no interval" if entry["interval"] is None else "{:.3g} to {:.3g}".format(*entry["interval"])
    unit = "" if entry["unit"] in ("ratio", "fraction") else f" {entry['unit']}"
    seeds = "1 seed" if entry["seeds"] == 1 else f"{entry['seeds']} seeds"
    return f"{entry['estimate']:.3g}{unit} ({interval}; {seeds})"


def wanted(entry: dict[str, Any]) -> str:
    """Return the range of a judged claim, or of its control, in signs."""
    low, high = entry["range"]
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def to_markdown(claims: list[dict[str, Any]]) -> str:
    """Return judged claims as a Markdown table."""
    lines = ["| world | claim | measured | wanted | control | verdict |", "|---|---|---|---|---|---|"]
    for claim in claims:
        control = claim["control"]
        beside = f"{control['description']}: {measured(control)}, wanted {wanted(control)}"
        where = place(claim["task"], claim["world"])
        cells = (where, claim["statement"], measured(claim), wanted(claim), beside, f"**{claim['verdict']}**")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def to_json(record: dict[str, Any]) -> str:
    """Return a record as text with seven significant digits, alike on every run."""
    rounded = json.loads(json.dumps(record), parse_float=lambda text: float(f"{float(text):.7g}"))
    return json.dumps(rounded, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
