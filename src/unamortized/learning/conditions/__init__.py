"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one that trains on a trace, give it a line in ``CONDITIONS``; another way of learning gets a file.
"""

import re

from unamortized.learning.conditions.supervised import Condition

CONDITIONS: dict[str, Condition] = {
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
        Condition("cot_state", trace="state", says="one draw of the latent path from its posterior, then the answer"),
        Condition("cot_every_4", trace="every_4", says="a code for the exact belief after every fourth step"),
    )
}


def resolve_condition(name: str) -> Condition:
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


__all__ = ["CONDITIONS", "Condition", "resolve_condition"]
