"""A small schema, a document that fits it, and the error of a document that does not."""

from typing import Annotated, Literal

import pytest
from annotated_types import Interval
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unamortized.configuration.document import SpecError
from unamortized.configuration.field_errors import validate, validate_nested
from unamortized.configuration.overrides import apply_overrides
from unamortized.configuration.yaml_reader import parse_yaml

GOOD = """\
coin:
  bias: 0.5
needed: 5
"""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab :#1.-'\n~", max_size=9)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Coin(Strict):
    bias: Annotated[float, Interval(ge=0, le=1)]
    flips: int = Field(default=3, gt=0)


class Tossed(Strict):
    """Validate a part with another model, as a process does with its family's parameters."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data):
        return validate_nested(Coin, data).model_dump()


class Lengths(BaseModel):
    train: tuple[int, int] = (1, 16)
    test: list[Annotated[int, Field(strict=True, ge=1, le=99)]] = Field(default=[4], min_length=1, max_length=3)
    by_name: dict[str, Annotated[int, Field(strict=True)]] = {}


class Spec(Strict):
    coin: Coin
    start: Literal["fixed", "known"] = Field(default="fixed")
    shuffle: bool = False
    title: str = Field(default="", examples=["a title"])
    width: int | list[int] = 1
    lengths: Lengths = Lengths()
    tossed: Tossed | None = None
    spare: Coin | None = None
    coins: list[Coin] = []
    ages: list[Annotated[int, Interval(ge=0, lt=9)]] | None = None
    rate: Annotated[float, Interval(gt=0, le=1)] | None = None
    needed: int = Field(examples=[5])


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


def error_text(text: str, *overrides: str, model: type[BaseModel] = Spec) -> str:
    """Return the text of the error that validating a document raises."""
    with pytest.raises(SpecError) as caught:
        validate(model, apply_overrides(parse_yaml(text, "mine.yaml"), overrides))
    return str(caught.value)


def error_line(text: str, *overrides: str) -> str:
    """Return the only error of a document."""
    *lines, _ = error_text(text, *overrides).splitlines()
    assert len(lines) == 1, lines
    return lines[0]
