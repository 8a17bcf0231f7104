"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one that trains on a trace, give it a line in ``CONDITIONS``; another way of learning gets a file.
"""

import re
from collections.abc import Mapping

from unamortized.learning.conditions.condition import Condition
from unamortized.learning.conditions.supervised import TraceCondition
from unamortized.learning.conditions.windows import WindowCondition
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

CONDITIONS: Mapping[str, Condition] = {
    condition.name: condition
    for condition in (
        TraceCondition("amortized", trace="none", description="question → answer, no trace; as many questions as CoT"),
        TraceCondition(
            "amortized_equal_flops",
            trace="none",
            description="question → answer, trained for as many FLOPs as CoT",
            equal_flops="cot",
        ),
        TraceCondition(
            "next_token",
            trace="none",
            description="every symbol of the question from those before it, then the answer, no trace",
            predicts_question=True,
        ),
        TraceCondition(
            "cot", trace="belief", description="a code for the exact belief after every step, then the answer"
        ),
        TraceCondition(
            "cot_copied", trace="copied", description="each observation copied, then the code of the belief after it"
        ),
        TraceCondition(
            "cot_indexed", trace="indexed", description="observations are numbered; each number, then the code"
        ),
        TraceCondition(
            "cot_state", trace="state", description="one draw of the latent path from its posterior, then the answer"
        ),
        TraceCondition(
            "cot_every_4", trace="every_4", description="a code for the exact belief after every fourth step"
        ),
        TraceCondition(
            "cot_filler", trace="filler", description="as many empty tokens as cot writes codes, then the answer"
        ),
        TraceCondition(
            "cot_shuffled", trace="shuffled", description="the codes of another problem's beliefs, then the answer"
        ),
        TraceCondition("cot_posthoc", trace="posthoc", description="the answer, and only then a code for each belief"),
        TraceCondition(
            "cot_reversed", trace="reversed", description="the codes of the beliefs from last to first, then the answer"
        ),
        TraceCondition(
            "cot_streaming",
            trace="streaming",
            description="each code as soon as its observation is read, then the answer",
        ),
        TraceCondition(
            "cot_dithered", trace="dithered", description="as cot, with codes that are the belief only on average"
        ),
        TraceCondition(
            "cot_synonyms", trace="synonyms", description="as cot, each code in one of two spellings at random"
        ),
        TraceCondition(
            "hint_untold",
            trace="hint_untold",
            description="as cot, with a hint at the answer which the trace does not mention",
        ),
        TraceCondition(
            "hint_told", trace="hint_told", description="as cot, with a hint at the answer which the last code takes in"
        ),
        TraceCondition(
            "gru",
            trace="none",
            description="question → answer by a recurrent net, no trace; as many questions as CoT",
            architecture="gru",
        ),
        WindowCondition(
            "local_windows", windows="local", description="a net seen through windows of what lies close together"
        ),
        WindowCondition(
            "wrong_local_windows", windows="wrong", description="windows as local, but in the net relabeled"
        ),
        WindowCondition(
            "full_windows", windows="full", description="all of the net at once, but one of each held-out pair"
        ),
    )
}


def resolve_condition(name: str) -> Condition:
    """The condition of that name; ``cot_every_8``, ``dial_0.5`` and the like need no line of their own.

    Raises:
        ValueError: if there is no such condition.
    """
    if name in CONDITIONS:
        return CONDITIONS[name]
    if every := re.fullmatch(r"cot_(every_([1-9]\d*))", name):
        return TraceCondition(
            name, trace=every[1], description=f"a code for the exact belief after every {every[2]} steps"
        )
    if dial := re.fullmatch(r"dial_(0|1|0\.\d*[1-9])(_told)?", name):
        says = f"as cot, but nine of ten traces have a wrong step, and {float(dial[1]):.0%} of the answers follow it"
        says += "; the question tells the exact last belief" if dial[2] else ""
        return TraceCondition(
            name, trace="told_end" if dial[2] else "belief", description=says, reliance=float(dial[1])
        )
    raise ValueError(f"no condition named '{name}'; there are {', '.join(CONDITIONS)}, cot_every_<k> and dial_<rho>")


def check_fits(condition: Condition, task: Task | NetTask) -> None:
    """Raise a ValueError if a condition is no way of learning this task."""
    if isinstance(condition, WindowCondition) == isinstance(task, NetTask):
        return
    kind, needs = ("a net", "a process") if isinstance(task, NetTask) else ("a process", "a net")
    fitting = [each.name for each in CONDITIONS.values() if isinstance(each, WindowCondition) == (kind == "a net")]
    raise ValueError(
        f"'{condition.name}' learns {needs}, but {task.name} has {kind}: its conditions are {', '.join(fitting)}"
    )


__all__ = ["CONDITIONS", "TraceCondition", "Condition", "WindowCondition", "check_fits", "resolve_condition"]
