"""Overrides: `process.slip=0.1`, as the command line sets single fields of a document."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from unamortized.configuration.document import Document, Fault, FieldPath, SpecError, dotted
from unamortized.configuration.yaml_reader import parse_value


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with `process.slip=0.1`, `steps.train=[1, 8]`, … written over it.

    If two overrides have the same path, the last one wins. `field_errors.validate` checks whether the fields exist.

    Raises:
        SpecError: if an override is not `field=value`, its value is not YAML, or its path leads into a plain value.
    """
    data, texts = copy.deepcopy(document.data), dict(document.overrides)
    faults: list[Fault] = []
    for text in overrides:
        try:
            path, value = _parse(text)
            _write(data, path, value)
        except ValueError as error:
            faults.append(Fault(f"override {text}", "", str(error)))
            continue
        texts.pop(path, None)
        texts[path] = text
    if faults:
        raise SpecError(document.name, [*document.faults, *faults])
    return replace(document, data=data, overrides=texts)


def _parse(text: str) -> tuple[FieldPath, Any]:
    target, equals, written = text.partition("=")
    path = tuple(part.strip() for part in target.split("."))
    if not equals or not all(path):
        raise ValueError("must be written as field=value, for example train.steps=500")
    if not written.strip():
        raise ValueError(f"no value after '='; to set it to nothing, write {target.strip()}=null")
    return path, parse_value(written)


def _write(data: dict[str, Any], path: FieldPath, value: Any) -> None:
    block: Any = data
    for depth, part in enumerate(path[:-1], start=1):
        block = block.setdefault(part, {})
        if not isinstance(block, dict):
            raise ValueError(f"{dotted(path[:depth])} is not a block of fields; override it as a whole")
    block[path[-1]] = value
