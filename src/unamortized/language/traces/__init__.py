"""Traces: what is written between question and answer, each a rendering of the same problem.

A trace is a function from problems to tokens, with the block and the step of each. To add one, write that
function in a file here and give it a line in ``TRACES``.
"""

import re
from functools import partial

from unamortized.language.traces.exact import every_k, state
from unamortized.language.traces.fetching import copied, indexed
from unamortized.language.traces.trace import Trace, TraceKind

TRACES: dict[str, TraceKind] = {
    "none": TraceKind(partial(every_k, stride=None)),
    "belief": TraceKind(partial(every_k, stride=1)),
    "state": TraceKind(state, sampled=True),
    "copied": TraceKind(copied),
    "indexed": TraceKind(indexed, indexed=True),
}


def resolve_trace(name: str) -> TraceKind:
    """The trace of that name; ``every_4`` writes the belief at every fourth step.

    Raises:
        ValueError: if there is no such trace.
    """
    if every := re.fullmatch(r"every_([1-9]\d*)", name):
        return TraceKind(partial(every_k, stride=int(every[1])))
    if name not in TRACES:
        raise ValueError(f"no trace named '{name}'; there are {', '.join(TRACES)} and every_<k>, as in every_4")
    return TRACES[name]


__all__ = ["TRACES", "Trace", "TraceKind", "resolve_trace"]
