"""Claims as data: a hypothesis, the comparison that decides it, its control, and the verdict they allow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeGuard, get_args

import pandas as pd

from unamortized.labels import place
from unamortized.studies.quantities import Comparison
from unamortized.studies.statistics import Estimate, holm

Verdict = Literal["supported", "refuted", "inconclusive", "void", "not measured"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


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
    """A hypothesis that a measurement can refute, judged in each of its worlds or across all of them.

    A claim that was stated after some of its results were seen names the number of seeds seen. It is judged on the
    seeds from there on, and is exploratory as long as there are fewer than two.
    """

    name: str
    statement: str
    holds: Comparison
    control: Control
    worlds: tuple[World, ...] | None = None  # none: every world of the study
    across: World | None = None  # a task, and how its worlds differ, if it is judged on all of them together
    seeds_seen: int = 0  # seeds below this were seen before the claim was stated

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

        The verdict compares 95 % intervals with ranges. Not measured: the claim or its control has fewer than two
        seeds. Supported: both intervals lie wholly in their ranges. Refuted: the claim's lies wholly outside, and the
        control's in its own. Void: the control's lies wholly outside, so that the measurement cannot speak.
        Inconclusive: anything else. ``p`` is the p-value of the verdict nearest at hand.
        """
        used = table[table["seed"] >= self.seeds_seen]
        found, beside = self._estimates(used)
        exploratory = self.seeds_seen > 0 and not (_over_seeds(found) and _over_seeds(beside))
        if exploratory:
            used = table
            found, beside = self._estimates(used)
        runs = {run for holds in (self.holds, self.control.holds) for run in holds.quantity.runs(used)}
        verdict, p = _verdict(found, self.holds, beside, self.control.holds)
        return {
            "name": self.name,
            "statement": self.statement,
            "task": world.task,
            "world": world.world,
            **_measured(found, self.holds),
            "control": {"description": self.control.description, **_measured(beside, self.control.holds)},
            "verdict": verdict,
            "seeds_seen": self.seeds_seen,
            "exploratory": exploratory,
            "p": p,
            "runs": sorted(runs),
        }

    def _estimates(self, table: pd.DataFrame) -> tuple[Estimate | None, Estimate | None]:
        return self.holds.quantity.estimate(table), self.control.holds.quantity.estimate(table)


def _over_seeds(found: Estimate | None) -> TypeGuard[Estimate]:
    return found is not None and found.seeds >= 2


def _verdict(
    found: Estimate | None, holds: Comparison, beside: Estimate | None, control: Comparison
) -> tuple[Verdict, float | None]:
    if not (_over_seeds(found) and _over_seeds(beside)):
        return "not measured", None
    valid = control.p_holds(beside)  # both have to hold: the larger p-value counts
    p = min(max(holds.p_holds(found), valid), max(holds.p_excludes(found), valid), control.p_excludes(beside))
    if control.excludes(beside):
        return "void", p
    if control.holds(beside):
        if holds.holds(found):
            return "supported", p
        if holds.excludes(found):
            return "refuted", p
    return "inconclusive", p


def _measured(found: Estimate | None, holds: Comparison) -> dict[str, Any]:
    return {
        "estimate": None if found is None else found.value,
        "interval": None if found is None or found.low is None else [found.low, found.high],
        "seeds": 0 if found is None else found.seeds,
        "ceiling": None if found is None else found.ceiling,
        "unit": holds.quantity.unit,
        "range": [holds.low, holds.high],
    }


def judge_all(claims: Sequence[Claim], metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge every claim in each of its worlds that was measured; omit those that do not apply to its lengths.

    ``p_holm`` is the p-value corrected for the number of claims measured, so that it is at most .05 where the verdict
    stands against all of them.
    """
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
    tested = [index for index, entry in enumerate(judged) if entry["p"] is not None]
    corrected = dict(zip(tested, holm([judged[index]["p"] for index in tested]), strict=True))
    return [entry | {"p_holm": corrected.get(index)} for index, entry in enumerate(judged)]


def measured(entry: dict[str, Any]) -> str:
    """Return the estimate of a judged claim, or of its control, in words."""
    if entry["estimate"] is None:
        return "not measured"
    interval = "no interval" if entry["interval"] is None else "{:.3g} to {:.3g}".format(*entry["interval"])
    unit = "" if entry["unit"] in ("ratio", "fraction") else f" {entry['unit']}"
    seeds = "1 seed" if entry["seeds"] == 1 else f"{entry['seeds']} seeds"
    ceiling = "" if entry["ceiling"] is None else f", all at the ceiling of {entry['ceiling']:.3g}"
    return f"{entry['estimate']:.3g}{unit} ({interval}; {seeds}{ceiling})"


def qualified(entry: dict[str, Any]) -> str:
    """Return the verdict of a judged claim with what qualifies it."""
    if entry["exploratory"]:
        return entry["verdict"] + ", exploratory"
    return entry["verdict"] + (", on fresh seeds" if entry["seeds_seen"] else "")


def p_value(entry: dict[str, Any]) -> str:
    """Return the p-value of a judged claim, and that corrected for the number of claims."""
    return "" if entry["p"] is None else f"{entry['p']:.2g} ({entry['p_holm']:.2g})"


def wanted(entry: dict[str, Any]) -> str:
    """Return the range of a judged claim, or of its control, in signs."""
    low, high = entry["range"]
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def to_markdown(claims: list[dict[str, Any]]) -> str:
    """Return judged claims as a Markdown table."""
    lines = ["| world | claim | measured | wanted | control | verdict | p (Holm) |", "|---|---|---|---|---|---|---|"]
    for claim in claims:
        control = claim["control"]
        beside = f"{control['description']}: {measured(control)}, wanted {wanted(control)}"
        where = place(claim["task"], claim["world"])
        decided = f"**{qualified(claim)}**", p_value(claim)
        cells = (where, claim["statement"], measured(claim), wanted(claim), beside, *decided)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def to_json(record: dict[str, Any]) -> str:
    """Return a record as text with seven significant digits, alike on every run."""
    rounded = json.loads(json.dumps(record), parse_float=lambda text: float(f"{float(text):.7g}"))
    return json.dumps(rounded, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
