"""The `steps` block of a task file: how many observations, or edges of a net, a question spans."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from unamortized.configuration.field_errors import Violations, got, violation_error
from unamortized.configuration.schema import Count, Spec


class Steps(Spec):
    """The lengths of questions in training and in tests."""

    train: tuple[Count, Count] = Field(examples=[[1, 16]])  # shortest and longest, both included; drawn uniformly
    test: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(examples=[[4, 8, 16, 32, 64]])

    @property
    def beyond_training(self) -> tuple[int, ...]:
        """The test lengths of the `length` split; the others are in distribution."""
        return tuple(length for length in self.test if length > self.train[1])

    @model_validator(mode="after")
    def _check_order(self) -> "Steps":
        violations: Violations = []
        if self.train[0] > self.train[1]:
            violations.append((("train",), f"the first length must not exceed the last (got {got(self.train)})"))
        violations += not_ascending("test", self.test)
        if violations:
            raise violation_error("steps", violations)
        return self


def not_ascending(field: str, values: tuple[Any, ...]) -> Violations:
    """Return the violation of a field whose values do not ascend strictly, if they do not."""
    ordered = sorted(set(values))
    if list(values) == ordered:
        return []
    return [((field,), f"must ascend without repeats; write {got(ordered)} (got {got(values)})")]
