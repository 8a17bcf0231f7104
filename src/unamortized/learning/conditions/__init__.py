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
        Condition(
            "next_token",
            trace="none",
            says="every symbol of the question from those before it, then the answer, no trace",
            reads_aloud=True,
        ),
        Condition("cot", trace="belief", says="a code for the exact belief after every step, then the answer"),
        Condition("cot_copied", trace="copied", says="each observation copied, then the code of the belief after it"),
        Condition("cot_indexed", trace="indexed", says="observations are numbered; each number, then the code"),
        Condition("cot_state", trace="state", says="one draw of the latent path from its posterior, then the answer"),
        Condition("cot_every_4", trace="every_4", says="a code for the exact belief after every fourth step"),
        Condition("cot_filler", trace="filler", says="as many empty tokens as cot writes codes, then the answer"),
        Condition("cot_shuffled", trace="shuffled", says="the codes of another problem's beliefs, then the answer"),
        Condition("cot_posthoc", trace="posthoc", says="the answer, and only then a code for each belief"),
        Condition(
            "cot_reversed", trace="reversed", says="the codes of the beliefs from last to first, then the answer"
        ),
        Condition(
            "cot_streaming", trace="streaming", says="each code as soon as its observation is read, then the answer"
        ),
        Condition("cot_dithered", trace="dithered", says="as cot, with codes that are the belief only on average"),
        Condition("cot_synonyms", trace="synonyms", says="as cot, each code in one of two spellings at random"),
        Condition(
            "hint_untold",
            trace="hint_untold",
            says="as cot, with a hint at the answer which the trace does not mention",
        ),
        Condition(
            "hint_told", trace="hint_told", says="as cot, with a hint at the answer which the last code takes in"
        ),
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
    """The condition of that name; ``cot_every_8``, ``dial_0.5`` and the like need no line of their own.

    Raises:
        ValueError: if there is no such condition.
    """
    if name in CONDITIONS:
        return CONDITIONS[name]
    if every := re.fullmatch(r"cot_(every_([1-9]\d*))", name):
        return Condition(name, trace=every[1], says=f"a code for the exact belief after every {every[2]} steps")
    if dial := re.fullmatch(r"dial_(0|1|0\.\d*[1-9])(_told)?", name):
        says = f"as cot, but nine of ten traces have a wrong step, and {float(dial[1]):.0%} of the answers follow it"
        says += "; the question tells the exact last belief" if dial[2] else ""
        return Condition(name, trace="told_end" if dial[2] else "belief", says=says, reliance=float(dial[1]))
    raise ValueError(f"no condition named '{name}'; there are {', '.join(CONDITIONS)}, cot_every_<k> and dial_<rho>")


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
