"""The `process` block of a task file: a family and its parameters, validated by the family's own schema."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unamortized.configuration.document import FieldPath, suggestion
from unamortized.configuration.field_errors import Violations, explain, validate_nested, violation_error
from unamortized.configuration.schema import Spec
from unamortized.worlds.processes import FAMILIES, Process, build_process, parameter_model
from unamortized.worlds.processes.matrices import matrices
from unamortized.worlds.processes.mixtures import mix


class StoredMatrices(Spec):
    """The content of a matrix file, which replaces its path, so that a finished run loads without the file."""

    path: str  # the file's name, for display only
    sha256: str  # of the file's bytes
    transitions: list[list[list[float]]]  # (symbol, state, state)
    initial: list[float]


class ProcessSpec(BaseModel):
    """A family's name beside its parameters, as in the file."""

    model_config = ConfigDict(extra="allow", frozen=True)

    family: str = Field(examples=["noisy_permutation"])

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the family, including defaults."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _validate_parameters(cls, data: Any, info: Any) -> Any:  # info: a ValidationInfo, which tests cannot construct
        if not isinstance(data, Mapping) or not isinstance(data.get("family"), str):
            return data  # the field itself reports this
        family = data["family"]
        if family not in FAMILIES:
            options = ", ".join(map(repr, sorted(FAMILIES)))
            message = f"must be one of {options} (got {family!r}){suggestion(family, FAMILIES)}"
            raise violation_error("process", [(("family",), message)])
        written = {name: value for name, value in data.items() if name != "family"}
        if family == "matrices" and "sha256" in written:
            return {"family": family} | validate_nested(StoredMatrices, written).model_dump(mode="json")
        parameters = validate_nested(parameter_model(family), written).model_dump(mode="json")
        if family == "matrices":
            folder = (info.context or {}).get("folder", Path())
            parameters = _read_matrices(folder / parameters["path"]).model_dump(mode="json")
        if family == "mixture":
            parameters["components"] = _validate_components(parameters["components"], info.context)
        return {"family": family} | parameters

    def build(self) -> Process:
        """Build the process; equal specifications share one."""
        return _build(_as_key(self.model_dump(mode="json")))

    def violation(self, message: str) -> tuple[FieldPath, str]:
        """Find the parameter that a family's error is about: the message begins with it, as in 'components[1].q must'.

        The path starts at this block.
        """
        target, _, requirement = message.partition(" ")
        path = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", target)]
        return (tuple(path), requirement) if path and path[0] in self.parameters else ((), message)


def _as_key(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)


@lru_cache(maxsize=8)  # few, since the matrices of a large process take hundreds of megabytes
def _build(key: str) -> Process:
    spec = json.loads(key)
    if spec["family"] == "matrices":
        return Process(np.array(spec["transitions"]), np.array(spec["initial"]))
    if spec["family"] == "mixture":
        return mix(spec["components"], spec["weights"], lambda component: _build(_as_key(component)))
    return build_process(**spec)


def _validate_components(components: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
    """Validate each component of a mixture as a process of its own, and collect the errors of all."""
    violations: Violations = []
    validated = []
    for index, component in enumerate(components):
        try:
            validated.append(ProcessSpec.model_validate(component, context=context).model_dump(mode="json"))
        except ValidationError as error:
            found = explain(ProcessSpec, error, component)
            violations += [(("components", index, *path), message) for path, message in found]
    if violations:
        raise violation_error("process", violations)
    return validated


def _read_matrices(file: Path) -> StoredMatrices:
    try:
        process = matrices(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except (ValueError, OSError) as error:
        raise violation_error("process", [(("path",), str(error))]) from None
    transitions, initial = process.transitions.tolist(), process.initial.tolist()
    return StoredMatrices(path=file.name, sha256=digest, transitions=transitions, initial=initial)
