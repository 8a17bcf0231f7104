"""Small tasks and problems for tests: quick to draw, and with beliefs worth stating."""

from typing import Any

from hypothesis import strategies as st

from unamortized.worlds.tasks import Task


def small_task(**changes: Any) -> Task:
    """Return a noisy permutation with five symbols, three states and three to six steps; changes replace fields."""
    fields: dict[str, Any] = {
        "name": "small",
        "process": {"family": "noisy_permutation", "states": 3, "symbols": 5, "slip": 0.1, "informativeness": 1.0},
        "query": "filter",
        "start": "fixed",
        "steps": {"train": [3, 6], "test": [4, 12]},
        "codebook": {"resolution": 4},
    }
    return Task.model_validate(fields | changes)


# changes to `small_task`: everything that a prompt may show besides observations, and a process without states
IN_CONTEXT = {"process": {"family": "in_context", "states": 3, "symbols": 2, "slip": 0.1, "informativeness": 1.0}}
GENERALIZED = {"process": {"family": "tom_quantum"}, "query": "predict 1"}
KINDS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "known": {"start": "known"},
    "belief": {"start": "belief"},
    "table": IN_CONTEXT,
    "table_and_state": IN_CONTEXT | {"start": "known"},
    "table_and_belief": IN_CONTEXT | {"start": "belief"},
    "generalized": GENERALIZED,
}


@st.composite
def task_fields(draw) -> dict[str, Any]:
    """Draw arguments of `small_task`: every query and start, over processes of two to four states.

    The test builds the task, since type checks use `random` and strategies must not.
    """
    states, symbols = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    process = {
        "family": "noisy_permutation",
        "states": states,
        "symbols": min(symbols, states),  # two states have only two permutations
        "slip": draw(st.sampled_from([0.05, 0.5])),
        "informativeness": draw(st.sampled_from([0.0, 1.0])),
        "seed": draw(st.integers(0, 20)),
    }
    return {
        "process": process,
        "query": draw(st.sampled_from(["filter", "predict 1", "predict 3", "smooth 0", "smooth 1"])),
        "start": draw(st.sampled_from(["fixed", "known"])),
        "steps": {"train": [2, 7], "test": [2]},
        "codebook": {"resolution": draw(st.integers(1, 5))},
    }
