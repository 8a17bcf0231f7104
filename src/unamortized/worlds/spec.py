"""What all parts of a task file share."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unamortized.configuration.field_errors import combined, got
from unamortized.configuration.yaml_source import FieldPath

Length = Annotated[int, Field(strict=True, ge=1)]
Complaints = list[tuple[FieldPath, str]]  # (path of the field, what to write instead)


class Spec(BaseModel):
    """What all parts of a task share: unknown fields are errors, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Steps(Spec):
    """Numbers of observations: the range trained on, and the lengths evaluated."""

    train: tuple[Length, Length] = Field(examples=[[1, 16]])  # first and last, both included, uniform
    test: Annotated[tuple[Length, ...], Field(min_length=1)] = Field(examples=[[4, 8, 16, 32, 64]])

    @property
    def beyond_training(self) -> tuple[int, ...]:
        """The test lengths of the `length` split; the others are in distribution."""
        return tuple(length for length in self.test if length > self.train[1])

    @model_validator(mode="after")
    def _ascend(self) -> "Steps":
        wrong: Complaints = []
        if self.train[0] > self.train[1]:
            wrong.append((("train",), f"the first length must not exceed the last (got {got(self.train)})"))
        if list(self.test) != sorted(set(self.test)):
            right = got(sorted(set(self.test)))
            wrong.append((("test",), f"must ascend without repeats; write {right} (got {got(self.test)})"))
        if wrong:
            raise combined("steps", wrong)
        return self


def snake_case(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"must be lower_snake_case, for example 'my_task' (got {name!r})")
    return name
