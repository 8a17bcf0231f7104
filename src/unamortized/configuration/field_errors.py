"""Pydantic's errors in plain words: the field, its requirement, the value it got, and a remedy.

`validate` turns a `Document` into a model. A model that validates a part of itself with another model (a process
validates its family's parameters) calls `validate_nested`; a check across fields raises `violation_error`.
"""

import re
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from unamortized.configuration.document import Document, FieldPath, SpecError, suggestion

ModelT = TypeVar("ModelT", bound=BaseModel)
Violations = list[tuple[FieldPath, str]]  # (path of the field, the requirement it breaks)

_FINAL = "final"  # the type of an error whose message needs no rewording
_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a block of fields",
    "mapping": "a block of fields",
    "model": "a block of fields",
}
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def validate(model: type[ModelT], document: Document, context: Mapping[str, Any] | None = None) -> ModelT:
    """Return the model that a document describes, or raise a SpecError with all faults of reading and validation."""
    faults = list(document.faults)
    try:
        value = model.model_validate(document.data, context=dict(context or {}))
    except ValidationError as error:
        # an unreadable value became None; do not report it a second time
        unreadable = {(fault.where, fault.field) for fault in faults}
        found = [document.fault(path, message) for path, message in explain(model, error, document.data)]
        faults += [fault for fault in found if (fault.where, fault.field) not in unreadable]
        raise SpecError(document.name, faults) from None
    if faults:
        raise SpecError(document.name, faults)
    return value


def validate_nested(model: type[ModelT], data: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> ModelT:
    """Call `model.model_validate` inside another model's validator; keep the messages and paths."""
    try:
        return model.model_validate(data, context=dict(context or {}))
    except ValidationError as error:
        raise violation_error(model.__name__, explain(model, error, data)) from None


def violation_error(title: str, violations: Violations) -> ValidationError:
    """Return the error for a validator to raise; paths start at its own model."""
    details = [
        InitErrorDetails(type=PydanticCustomError(_FINAL, "{text}", {"text": message}), loc=path, input=None)
        for path, message in violations
    ]
    return ValidationError.from_exception_data(title, details)


def explain(model: type[BaseModel], error: ValidationError, data: Any) -> Violations:
    """Translate a validation error; the alternatives of a union become one message."""
    requirements: dict[FieldPath, list[str]] = {}
    endings: dict[FieldPath, str] = {}
    for details in error.errors(include_url=False):
        if _is_consequence(details):
            continue
        path = _path(details, data)
        requirement, ending = _message(model, details, path)
        if requirement not in requirements.setdefault(path, []):
            requirements[path].append(requirement)
        endings[path] = endings.get(path) or ending
    return [(path, _join(texts) + endings[path]) for path, texts in requirements.items()]


def _is_consequence(details: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short only because it dropped invalid entries, each reported by itself."""
    return details["type"] == "too_short" and len(details["input"]) >= details.get("ctx", {})["min_length"]


def got(value: object) -> str:
    """Format a value as its author wrote it, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a block of fields"
    text = repr(_as_lists(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _as_lists(value: object) -> object:
    """Turn tuples back into the lists that the author wrote."""
    return [_as_lists(entry) for entry in value] if isinstance(value, list | tuple) else value


def _join(requirements: list[str]) -> str:
    if all(text.startswith("must be ") for text in requirements):
        return "must be " + " or ".join(text.removeprefix("must be ") for text in requirements)
    return "; ".join(requirements)


def _path(details: ErrorDetails, data: Any) -> FieldPath:
    """Return pydantic's location without the names of union members and validators, which no file contains."""
    if details["type"] == _FINAL:
        return details["loc"]
    path: FieldPath = ()
    for part in details["loc"]:
        if part in _keys(data):
            data = data[part]
        else:
            missing_field = details["type"] == "missing" and part == details["loc"][-1] and isinstance(part, str)
            return (*path, part) if missing_field else path
        path = (*path, part)
    return path


def _keys(data: Any) -> Collection[Any]:
    if isinstance(data, list | tuple):
        return range(len(data))
    return data.keys() if isinstance(data, Mapping) else ()


def _message(model: type[BaseModel], details: ErrorDetails, path: FieldPath) -> tuple[str, str]:
    """Return the requirement, and an ending: '(got …)' and a suggestion."""
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    parent, field = _model_at(model, path[:-1]), _field_at(model, path)
    written = f" (got {got(value)})"
    if kind == _FINAL:
        return str(context["text"]), ""
    if kind == "missing" and details["loc"][-1:] == path[-1:]:
        return _missing(str(path[-1]), field), ""
    if kind == "extra_forbidden":
        return "unknown field", _field_hint(path, parent)
    if kind in ("missing", "too_short", "too_long"):
        depth = sum(isinstance(part, int) for part in path)
        return _length(field, depth, kind, context), f" (got {got(value)})"
    if kind in ("literal_error", "enum"):
        options = str(context["expected"]).replace(" or ", ", ")
        hint = suggestion(value, re.findall(r"'([^']*)'", options))
        return f"must be one of {options}" if ", " in options else f"must be {options}", written + hint
    if kind in _LIMITS:
        return f"must be {_range(field, kind, context)}", written
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "is_instance_of" and context["class"] == "Path":
        return "must be text", written
    if type_name := _TYPE_NAMES.get(kind.split("_")[0]):
        return f"must be {type_name}", written
    return details["msg"].replace("Input should", "must"), written


def _missing(name: str, field: FieldInfo | None) -> str:
    if field is None or not field.examples:
        return f"missing; write '{name}: …'"
    example = field.examples[0]
    shown = example if isinstance(example, str) else got(example)
    return f"missing; write for example '{name}: {shown}'"


def _field_hint(path: FieldPath, parent: type[BaseModel] | None) -> str:
    names = list(parent.model_fields) if parent else []
    hint = suggestion(path[-1], names)
    if hint or not names:
        return hint
    return f"; the fields here are {', '.join(map(repr, names))}"


def _length(field: FieldInfo | None, depth: int, kind: str, context: Mapping[str, Any]) -> str:
    entries = get_args(_tuple_at(field.annotation, depth)) if field else ()
    if entries and entries[-1] is not Ellipsis:
        return f"must be a list of {len(entries)} values"
    limit = context.get("min_length") if kind == "too_short" else context.get("max_length")
    side = "at least" if kind == "too_short" else "at most"
    return f"must have {side} {limit} {'entry' if limit == 1 else 'entries'}"


def _tuple_at(annotation: Any, depth: int) -> Any:
    """Find the tuple type inside an annotation, `depth` tuples deep; None if there is none."""
    if get_origin(annotation) is tuple:
        return annotation if depth == 0 else _tuple_at(get_args(annotation)[0], depth - 1)
    wrapped = get_origin(annotation) in (Annotated, Union, types.UnionType)
    inside = (_tuple_at(part, depth) for part in get_args(annotation) if wrapped)
    return next((found for found in inside if found is not None), None)


def _range(field: FieldInfo | None, kind: str, context: Mapping[str, Any]) -> str:
    """Name both ends of the range if the field declares them, so that the author's next attempt is right."""
    name, words = _LIMITS[kind]
    limits = {name: context[name]}
    declared = dict(_limits(field.annotation, field.metadata)) if field else {}
    if declared.get(name) == context[name]:
        limits = declared
    if set(limits) == {"ge", "le"}:
        return f"between {limits['ge']} and {limits['le']}"
    words_by_name = dict(_LIMITS.values())
    return " and ".join(f"{words_by_name[key]} {limits[key]}" for key in words_by_name if key in limits)


def _limits(annotation: Any, metadata: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for mark in metadata:
        if isinstance(mark, annotated_types.GroupedMetadata):
            yield from _limits(None, list(mark))
        elif isinstance(mark, FieldInfo):
            yield from _limits(None, mark.metadata)
        for name in ("ge", "gt", "le", "lt"):
            if isinstance(mark, getattr(annotated_types, name.capitalize())):
                yield name, getattr(mark, name)
    for part in get_args(annotation):
        if get_origin(part) is Annotated:
            yield from _limits(part.__origin__, part.__metadata__)
        elif get_origin(part) in (Union, types.UnionType, tuple, list):
            yield from _limits(part, [])


def _field_at(model: type[BaseModel], path: FieldPath) -> FieldInfo | None:
    while path and isinstance(path[-1], int):
        path = path[:-1]
    parent = _model_at(model, path[:-1]) if path else None
    return parent.model_fields.get(str(path[-1])) if parent else None


def _model_at(model: type[BaseModel], path: FieldPath) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int) or found is None:
            continue
        field = found.model_fields.get(part)
        found = next(_models(field.annotation), None) if field else None
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
