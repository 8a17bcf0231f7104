"""Claims as code: hypothesis, measurement, control, and the verdict that the intervals allow."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from unamortized.studies.statistics import Estimate, Measure

Verdict = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Range:
    """Where a quantity lies if the hypothesis holds."""

    low: float | None = None
    high: float | None = None

    def holds(self, estimate: Estimate) -> bool:
        """Whether the whole interval lies in the range."""
        return (
            estimate.low is not None
            and estimate.high is not None
            and (self.low is None or estimate.low >= self.low)
            and (self.high is None or estimate.high <= self.high)
        )

    def excludes(self, estimate: Estimate) -> bool:
        """Whether the whole interval lies outside the range."""
        return (
            estimate.low is not None
            and estimate.high is not None
            and (
                (self.low is not None and estimate.high < self.low)
                or (self.high is not None and estimate.low > self.high)
            )
        )


@dataclass(frozen=True)
class Control:
    """What else could explain the measurement, and where it must lie if it does not."""

    description: str
    measure: Measure
    holds: Range


@dataclass(frozen=True)
class Claim:
    """A hypothesis about a task, or about how tasks differ, that a measurement can refute."""

    name: str
    description: str
    measure: Measure
    holds: Range
    control: Control
    tasks: tuple[str, ...] | None = None  # the tasks it speaks of, each on its own; none: every task of the study
    across: str = ""  # or what it calls all tasks together, on whose whole table it is judged

    def judge(self, task: str, table: pd.DataFrame) -> dict[str, Any]:
        """The claim with its estimate and verdict on one task's metrics, ready for ``claims.json``.

        Supported if the whole interval lies in the range, and the control's in its own; refuted if the
        interval lies wholly outside; inconclusive otherwise: where the interval straddles the bound, where the
        control does not rule out another explanation, and always with fewer than two seeds.
        """
        estimate = self.measure.estimate(table)
        beside = self.control.measure.estimate(table)
        judged = {
            "name": self.name,
            "says": self.description,
            "task": task,
            **_shown(estimate, self.holds, self.measure.unit),
            "control": {
                "says": self.control.description,
                **_shown(beside, self.control.holds, self.control.measure.unit),
            },
        }
        return judged | {"verdict": _verdict(estimate, self.holds, beside, self.control.holds)}


def _verdict(estimate: Estimate | None, wanted: Range, beside: Estimate | None, controlled: Range) -> Verdict:
    if estimate is None or beside is None:
        return "inconclusive"
    if wanted.excludes(estimate):
        return "refuted"
    return "supported" if wanted.holds(estimate) and controlled.holds(beside) else "inconclusive"


def _shown(estimate: Estimate | None, wanted: Range, unit: str) -> dict[str, Any]:
    return {
        "estimate": None if estimate is None else estimate.value,
        "interval": None if estimate is None or estimate.low is None else [estimate.low, estimate.high],
        "seeds": 0 if estimate is None else estimate.seeds,
        "unit": unit,
        "range": list(asdict(wanted).values()),
    }


def judge_all(claims: tuple[Claim, ...], metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Every claim on every task that it speaks of and that was measured, in the order of the claims."""
    tasks = list(dict.fromkeys(metrics["task"]))
    judged = []
    for claim in claims:
        if claim.across:
            judged.append(claim.judge(claim.across, metrics))
            continue
        spoken_of = [task for task in tasks if claim.tasks is None or task in claim.tasks]
        judged += [claim.judge(task, metrics[metrics["task"] == task]) for task in spoken_of]
    return judged


def measured(entry: dict[str, Any]) -> str:
    """The estimate of a judged claim, or of its control, in words."""
    if entry["estimate"] is None:
        return "not measured"
    interval = "no interval" if entry["interval"] is None else "{:.3g} to {:.3g}".format(*entry["interval"])
    unit = "" if entry["unit"] in ("ratio", "fraction") else f" {entry['unit']}"
    seeds = "1 seed" if entry["seeds"] == 1 else f"{entry['seeds']} seeds"
    return f"{entry['estimate']:.3g}{unit} ({interval}; {seeds})"


def wanted(entry: dict[str, Any]) -> str:
    """Where a judged claim, or its control, must lie, in words."""
    low, high = entry["range"]
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def to_markdown(claims: list[dict[str, Any]]) -> str:
    """Judged claims as a Markdown table."""
    lines = ["| task | claim | measured | wanted | control | verdict |", "|---|---|---|---|---|---|"]
    for claim in claims:
        control = claim["control"]
        beside = f"{control['says']}: {measured(control)}, wanted {wanted(control)}"
        cells = (claim["task"], claim["says"], measured(claim), wanted(claim), beside, f"**{claim['verdict']}**")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def to_json(record: dict[str, Any]) -> str:
    """Claims as text, nine significant digits, alike on every run."""
    return json.dumps(_rounded(record), indent=1, ensure_ascii=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value
