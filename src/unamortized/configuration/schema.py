"""The base class of schemas, and types that several of them share."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """A part of a specification: unknown fields are errors, and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _snake_case(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"must be lower_snake_case, for example 'my_task' (got {name!r})")
    return name


Name = Annotated[str, AfterValidator(_snake_case)]
Index = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
