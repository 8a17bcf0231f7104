"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one that trains on a trace, give it a line in ``CONDITIONS``; another way of learning gets a file.
"""

from collections.abc import Mapping

from unamortized.labels import joined, numbered, numbers
from unamortized.learning.conditions.condition import Condition
from unamortized.learning.conditions.supervised import TraceCondition
from unamortized.learning.conditions.windows import WindowCondition
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

CONDITIONS: Mapping[str, Condition] = {
    condition.name: condition
    for condition in (
        TraceCondition("amortized", "none", "question → answer, no trace; as many questions as CoT"),
        TraceCondition(
            "amortized_equal_flops", "none", "question → answer, trained for as many FLOPs as CoT", equal_flops="cot"
        ),
        TraceCondition(
            "next_token",
            "none",
            "every symbol of the question from those before it, then the answer, no trace",
            predicts_question=True,
        ),
        TraceCondition("cot", "belief", "a code for the exact belief after every step, then the answer"),
        TraceCondition("cot_copied", "copied", "each observation copied, then the code of the belief after it"),
        TraceCondition("cot_indexed", "indexed", "observations are numbered; each number, then the code"),
        TraceCondition("cot_state", "state", "a draw of the latent path from its posterior, then the answer"),
        TraceCondition("cot_every_4", "every_4", "a code for the exact belief after every fourth step"),
        TraceCondition("cot_filler", "filler", "as many empty tokens as cot writes codes, then the answer"),
        TraceCondition("cot_shuffled", "shuffled", "the codes of another problem's beliefs, then the answer"),
        TraceCondition("cot_posthoc", "posthoc", "the answer, and only then a code for each belief"),
        TraceCondition("cot_reversed", "reversed", "the codes of the beliefs from last to first, then the answer"),
        TraceCondition("cot_streaming", "streaming", "each code as soon as its observation is read, then the answer"),
        TraceCondition("cot_dithered", "dithered", "as cot, with random codes whose mean is the belief"),
        TraceCondition("cot_synonyms", "synonyms", "as cot, each code in one of two spellings at random"),
        TraceCondition("hint_untold", "hint_untold", "as cot, with a hint at the answer that the trace hides"),
        TraceCondition("hint_told", "hint_told", "as cot, with a hint at the answer that the last code includes"),
        TraceCondition(
            "gru",
            "none",
            "question → answer by a recurrent net, no trace; as many questions as CoT",
            architecture="gru",
        ),
        WindowCondition("local_windows", "local", "a net seen through windows of variables that lie close together"),
        WindowCondition("wrong_local_windows", "wrong", "windows as local, but in a relabeled net"),
        WindowCondition("full_windows", "full", "all of the net at once, except one of each held-out pair"),
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
        return TraceCondition(name, every, f"a code for the exact belief after every {stride:g} steps")
    dial = numbered("dial", reliance)
    if reliance <= 1 and name in (dial, joined(dial, "told")):
        described = f"as cot, but nine of ten traces have a wrong step, and {reliance:.0%} of the answers follow it"
        if name == dial:
            return TraceCondition(name, "belief", described, reliance=reliance)
        return TraceCondition(
            name, "told_end", f"{described}; the question gives the exact last belief", reliance=reliance
        )
    raise ValueError(f"no condition named '{name}'; there are {', '.join(CONDITIONS)}, cot_every_<k> and dial_<rho>")


def check_fits(condition: Condition, task: Task | NetTask) -> None:
    """Check that a condition can learn a task.

    Raises:
        ValueError: if it cannot; lists the conditions that can.
    """
    of_net = isinstance(task, NetTask)
    if isinstance(condition, WindowCondition) == of_net:
        return
    kind, required = ("a net", "a process") if of_net else ("a process", "a net")
    fitting = [each.name for each in CONDITIONS.values() if isinstance(each, WindowCondition) == of_net]
    raise ValueError(
        f"condition '{condition.name}' needs a task with {required}, but {task.name} has {kind}; choose from "
        f"{', '.join(fitting)}"
    )


__all__ = ["CONDITIONS", "Condition", "TraceCondition", "WindowCondition", "check_fits", "resolve_condition"]
