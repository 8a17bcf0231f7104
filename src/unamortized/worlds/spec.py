"""What all parts of a task file share."""

from pydantic import BaseModel, ConfigDict

from unamortized.worlds.yaml_source import FieldPath

Complaints = list[tuple[FieldPath, str]]  # (path of the field, what to write instead)


class Spec(BaseModel):
    """What all parts of a task share: unknown fields are errors, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
