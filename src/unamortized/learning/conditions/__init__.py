"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one that trains on a trace, give it a line in ``CONDITIONS``; another way of learning gets a file.
"""

import re
from collections.abc import Mapping

from unamortized.learning.conditions.supervised import Condition
from unamortized.learning.conditions.way import Way
from unamortized.learning.conditions.windows import WindowCondition
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

CONDITIONS: Mapping[str, Way] = {
    condition.name: condition
    for condition in (
        Condition("amortized", trace="none", says="question → answer, no trace; as many questions as CoT"),
        Condition(
            "amortized_equal_flops",
            trace="none",
            says="question → answer, trained for as many FLOPs as CoT",
            equal_flops="cot",
        ),
        Condition("cot", trace="belief", says="a code for the exact belief after every step, then the answer"),
        Condition("cot_copied", trace="copied", says="each observation copied, then the code of the belief after it"),
        Condition("cot_indexed", trace="indexed", says="observations are numbered; each number, then the code"),
        Condition("cot_state", trace="state", says="one draw of the latent path from its posterior, then the answer"),
        Condition("cot_every_4", trace="every_4", says="a code for the exact belief after every fourth step"),
        Condition(
            "gru",
            trace="none",
            says="question → answer by a recurrent net, no trace; as many questions as CoT",
            architecture="gru",
        ),
        WindowCondition(
            "local_windows", windows="local", says="a net seen through windows of what lies close together"
        ),
        WindowCondition("wrong_local_windows", windows="wrong", says="windows as local, but in the net relabelled"),
        WindowCondition("full_windows", windows="full", says="all of the net at once, but one of each held-out pair"),
    )
}


def resolve_condition(name: str) -> Way:
    """The condition of that name; ``cot_every_8`` and the like need no line of their own.

    Raises:
        ValueError: if there is no such condition.
    """
    every = re.fullmatch(r"cot_(every_([1-9]\d*))", name)
    if name not in CONDITIONS and every:
        return Condition(name, trace=every[1], says=f"a code for the exact belief after every {every[2]} steps")
    if name not in CONDITIONS:
        raise ValueError(f"no condition named '{name}'; there are {', '.join(CONDITIONS)}")
    return CONDITIONS[name]


def check_fits(condition: Way, task: Task | NetTask) -> None:
    """Raise a ValueError if a condition is no way of learning this task."""
    if isinstance(condition, WindowCondition) == isinstance(task, NetTask):
        return
    kind, needs = ("a net", "a process") if isinstance(task, NetTask) else ("a process", "a net")
    fitting = [each.name for each in CONDITIONS.values() if isinstance(each, WindowCondition) == (kind == "a net")]
    raise ValueError(
        f"'{condition.name}' learns {needs}, but {task.name} has {kind}: its conditions are {', '.join(fitting)}"
    )


__all__ = ["CONDITIONS", "Condition", "Way", "WindowCondition", "check_fits", "resolve_condition"]
