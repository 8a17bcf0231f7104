"""Windows as tokens: ``<bos> [ask X_i] (X_a = v) (X_b = v) .. (X_i = v)``, with the variable asked about
first and last.

An assignment of a value to a variable is one token, so that a prediction gives the next variable and its value at
once: restricted to the variable asked about, it is the answer; over all variables, it is a step of reasoning. The order
of a window carries no information, so its tokens have no position: all are equally near to each other.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from unamortized.language.layout import NO_STEP, NOWHERE, Examples
from unamortized.language.vocabulary import BOS
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import Windows


@dataclass(frozen=True)
class NetVocabulary:
    """Token ids: the mark ``<bos>``, a question about each variable, and each assignment of a value to a variable."""

    n_variables: int
    n_values: int

    def ask(self, variable: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        return variable + self.blocks["ask"].start

    def assignment(
        self, variable: Int[np.ndarray, "*#batch"], value: Int[np.ndarray, "*#batch"]
    ) -> Int[np.ndarray, "*#batch"]:
        return self.blocks["assignment"].start + variable * self.n_values + value

    @cached_property
    def blocks(self) -> dict[str, slice]:
        first = 1 + self.n_variables
        return {"mark": slice(BOS, 1), "ask": slice(1, first), "assignment": slice(first, self.size)}

    @property
    def size(self) -> int:
        return 1 + self.n_variables * (1 + self.n_values)


def net_vocabulary(task: NetTask) -> NetVocabulary:
    return NetVocabulary(task.net.variables, task.net.values)


def lay_out_windows(windows: Windows, vocabulary: NetVocabulary) -> Examples:
    """Lay out windows of one size; the loss falls on every assignment, so that the model learns them jointly."""
    question = vocabulary.ask(windows.variables[:, -1:])
    assignments = vocabulary.assignment(windows.variables, windows.values)
    columns = 2 + assignments.shape[1]
    written = np.arange(columns) > 1
    return Examples(
        tokens=np.concatenate([np.full_like(question, BOS), question, assignments], axis=1),
        positions=np.where(np.arange(columns), NOWHERE, 0),
        weights=written.astype(np.float32),
        steps=np.full(columns, NO_STEP),
        produces=np.full(columns, NO_STEP),
        written=written,
        answer=columns - 1,
    )
