"""Traces: the tokens written between question and answer, each a rendering of the same problem.

A trace is a function from problems to tokens, with the block and the step of each token. To add one, write that
function in a file here and give it a line in ``TRACES``.
"""

from functools import partial

from unamortized.labels import numbered, numbers
from unamortized.language.traces.controls import filler, shuffled
from unamortized.language.traces.exact import every_k, state
from unamortized.language.traces.fetching import copied, indexed
from unamortized.language.traces.hints import hint_told, hint_untold, told_end
from unamortized.language.traces.orders import posthoc, reversed_belief, streaming
from unamortized.language.traces.spellings import dithered, synonyms
from unamortized.language.traces.trace import Order, Trace, TraceKind

TRACES: dict[str, TraceKind] = {
    "none": TraceKind(partial(every_k, stride=None)),
    "belief": TraceKind(partial(every_k, stride=1)),
    "state": TraceKind(state, sampled=True),
    "copied": TraceKind(copied),
    "indexed": TraceKind(indexed, indexed=True),
    "filler": TraceKind(filler, n_filler=1),
    "shuffled": TraceKind(shuffled, sampled=True),
    "posthoc": TraceKind(posthoc),
    "reversed": TraceKind(reversed_belief),
    "streaming": TraceKind(streaming),
    "dithered": TraceKind(dithered, sampled=True),
    "synonyms": TraceKind(synonyms, n_synonyms=2),
    "hint_untold": TraceKind(hint_untold, hinted=True),
    "hint_told": TraceKind(hint_told, hinted=True),
    "told_end": TraceKind(told_end),
}


def resolve_trace(name: str) -> TraceKind:
    """Find a trace by name; ``every_4`` writes the belief at every fourth step.

    Raises:
        ValueError: if there is no such trace.
    """
    if name in TRACES:
        return TRACES[name]
    stride = numbers(name).get("every", 0)
    if stride >= 1 and stride % 1 == 0 and name == numbered("every", stride):
        return TraceKind(partial(every_k, stride=int(stride)))
    raise ValueError(f"no trace named '{name}'; there are {', '.join(TRACES)} and every_<k>, as in every_4")


__all__ = ["TRACES", "Order", "Trace", "TraceKind", "resolve_trace"]
