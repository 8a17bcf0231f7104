"""Windows as tokens: ``[ask X_i] (X_a = v) (X_b = v) .. (X_i = v)``, the variable asked about named first, last shown.

An assignment of a value to a variable is one token, so that a prediction says at once which variable comes
next and what its value is; within one variable's values it is the answer, among all of them a thought. The
order of a window means nothing, so its tokens stand nowhere: each is equally near to all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from unamortized.language.layout import NO_STEP, NOWHERE, Examples
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import Windows


@dataclass(frozen=True)
class NetVocabulary:
    """Token ids in two blocks: a mark that asks for each variable, and each variable with each value."""

    n_variables: int
    n_values: int

    def ask(self, variable: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token that names the variable asked about."""
        return variable + self.blocks["ask"].start

    def assignment(
        self, variable: Int[np.ndarray, "*#batch"], value: Int[np.ndarray, "*#batch"]
    ) -> Int[np.ndarray, "*#batch"]:
        """Token of a variable with its value."""
        return self.blocks["assignment"].start + variable * self.n_values + value

    @cached_property
    def blocks(self) -> dict[str, slice]:
        """Slice of token ids that each kind of token occupies."""
        return {"ask": slice(0, self.n_variables), "assignment": slice(self.n_variables, self.size)}

    @property
    def size(self) -> int:
        """Number of token ids."""
        return self.n_variables * (1 + self.n_values)


def net_vocabulary(task: NetTask) -> NetVocabulary:
    """The vocabulary of a task about a net."""
    return NetVocabulary(task.net.variables, task.net.values)


def lay_out_windows(windows: Windows, vocabulary: NetVocabulary) -> Examples:
    """Columns of windows of one size; the loss falls on every assignment, so that what is seen together is learned."""
    asked = vocabulary.ask(windows.variables[:, -1:])
    shown = vocabulary.assignment(windows.variables, windows.values)
    columns = 1 + shown.shape[1]
    written = np.arange(columns) > 0
    return Examples(
        tokens=np.concatenate([asked, shown], axis=1),
        positions=np.full(columns, NOWHERE),
        weights=written.astype(np.float32),
        steps=np.full(columns, NO_STEP),
        produces=np.full(columns, NO_STEP),
        written=written,
        answer=columns - 1,
    )
