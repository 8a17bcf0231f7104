"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one, write a ``Condition`` in a file here, and give it a line in ``CONDITIONS``.
"""

from unamortized.labels import joined, numbered, numbers
from unamortized.learning.conditions.dense import DENSE
from unamortized.learning.conditions.distilled import DISTILLED
from unamortized.learning.conditions.supervised import TRACED, supervised
from unamortized.learning.conditions.windows import WINDOWS
from unamortized.learning.specification import AnyTask, Condition

CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        *TRACED,
        *DENSE,
        DISTILLED,
        *WINDOWS,
    )
}


def resolve_condition(name: str) -> Condition:
    """Find a condition by name; ``cot_every_<k>``, ``dial_<rho>`` and ``dial_<rho>_told`` exist for every number.

    Raises:
        ValueError: if there is no such condition.
    """
    if name in CONDITIONS:
        return CONDITIONS[name]
    found = numbers(name)
    stride, reliance = found.get("every", 0), found.get("dial", 2)
    if stride >= 1 and stride % 1 == 0 and name == joined("cot", every := numbered("every", stride)):
        return supervised(name, every, f"a code for the exact belief after every {stride:g} steps")
    dial = numbered("dial", reliance)
    if reliance <= 1 and name in (dial, joined(dial, "told")):
        described = f"as cot, but nine of ten traces have a wrong step, and {reliance:.0%} of the answers follow it"
        if name == dial:
            return supervised(name, "belief", described, reliance=reliance)
        return supervised(name, "told_end", f"{described}; the question gives the exact last belief", reliance=reliance)
    raise ValueError(
        f"no condition named '{name}'; there are {', '.join(CONDITIONS)}, cot_every_<k> "
        "(k a whole number from 1), and dial_<rho> (rho from 0 to 1)"
    )


def check_fits(condition: Condition, task: AnyTask) -> None:
    """Raise a ValueError, which lists the conditions that can, unless a condition can learn a task."""
    if reason := condition.unsupported(task):
        fitting = [each.name for each in CONDITIONS.values() if not each.unsupported(task)]
        raise ValueError(
            f"condition '{condition.name}' cannot learn {task.name}: {reason}; choose from {', '.join(fitting)}"
        )
