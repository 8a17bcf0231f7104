"""Pydantic's complaints in a reader's words: which field, what it must be, what was written, what was meant.

`validate` is the one way from a `Source` to a model. A model that checks a part of itself with another model
(a process checks its family's parameters) does so through `validate_nested`; a check across fields raises
`combined`.
"""

import re
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from unamortized.configuration.yaml_source import FieldPath, Source, SpecError, suggestion

ModelT = TypeVar("ModelT", bound=BaseModel)

_WORDED = "worded"  # the type of an error whose message is already written for the reader
_KINDS = {
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


def validate(model: type[ModelT], source: Source, context: Mapping[str, Any] | None = None) -> ModelT:
    """The model that a source describes.

    Raises:
        SpecError: with every fault at once, those found while reading the file included.
    """
    faults = list(source.faults)
    try:
        value = model.model_validate(source.data, context=dict(context or {}))
    except ValidationError as error:
        worded = explain(model, error, source.data)
        # a value that could not even be read must not be reported a second time for being nothing
        unread = {(fault.where, fault.field) for fault in faults}
        found = [source.fault(path, message) for path, message in worded]
        faults += [fault for fault in found if (fault.where, fault.field) not in unread]
        raise SpecError(source.name, faults) from None
    if faults:
        raise SpecError(source.name, faults)
    return value


def validate_nested(model: type[ModelT], data: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> ModelT:
    """As `model.model_validate`, for use inside another model's validator: keeps wording and paths."""
    try:
        return model.model_validate(data, context=dict(context or {}))
    except ValidationError as error:
        raise combined(model.__name__, explain(model, error, data)) from None


def combined(title: str, worded: list[tuple[FieldPath, str]]) -> ValidationError:
    """An error to raise in a validator: several (path below this model, message) at once."""
    return ValidationError.from_exception_data(title, [_worded(path, message) for path, message in worded])


def _worded(path: FieldPath, message: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(_WORDED, "{text}", {"text": message}), loc=path, input=None)


def explain(model: type[BaseModel], error: ValidationError, data: Any) -> list[tuple[FieldPath, str]]:
    """(field path, message) for each thing that is wrong; alternatives of a union become one message."""
    needs: dict[FieldPath, list[str]] = {}
    endings: dict[FieldPath, str] = {}
    for details in error.errors(include_url=False):
        if _only_follows(details):
            continue
        path = _path(details, data)
        need, ending = _message(model, details, path)
        if need not in needs.setdefault(path, []):
            needs[path].append(need)
        endings[path] = endings.get(path) or ending
    return [(path, _join(texts) + endings[path]) for path, texts in needs.items()]


def _only_follows(details: ErrorDetails) -> bool:
    """Whether a list counts as too short only because some of its entries are wrong, which is said of each."""
    return details["type"] == "too_short" and len(details["input"]) >= details.get("ctx", {})["min_length"]


def got(value: object) -> str:
    """A value as its author wrote it, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a block of fields"
    text = repr(_as_lists(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _as_lists(value: object) -> object:
    """Tuples as the lists that were written."""
    return [_as_lists(entry) for entry in value] if isinstance(value, list | tuple) else value


def _join(texts: list[str]) -> str:
    if all(text.startswith("must be ") for text in texts):
        return "must be " + " or ".join(text.removeprefix("must be ") for text in texts)
    return "; ".join(texts)


def _path(details: ErrorDetails, data: Any) -> FieldPath:
    """Pydantic's location without the names of union members and validators, which no file contains."""
    if details["type"] == _WORDED:
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
    """What is needed, and '(got …)' with what may have been meant."""
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    parent, field = _model_at(model, path[:-1]), _field_at(model, path)
    written = f" (got {got(value)})"
    if kind == _WORDED:
        return str(context["text"]), ""
    if kind == "missing" and details["loc"][-1:] == path[-1:]:
        return _missing(str(path[-1]), field), ""
    if kind == "extra_forbidden":
        return "unknown field", _known(path, parent)
    if kind in ("missing", "too_short", "too_long"):
        depth = sum(isinstance(part, int) for part in path)
        return _length(field, depth, kind, context), f" (got {got(value)})"
    if kind in ("literal_error", "enum"):
        options = str(context["expected"]).replace(" or ", ", ")
        near = suggestion(value, re.findall(r"'([^']*)'", options))
        return f"must be one of {options}" if ", " in options else f"must be {options}", written + near
    if kind in _LIMITS:
        return f"must be {_range(field, kind, context)}", written
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "is_instance_of" and context["class"] == "Path":
        return "must be text", written
    noun = _KINDS.get(kind.split("_")[0])
    if noun:
        return f"must be {noun}", written
    return details["msg"].replace("Input should", "must"), written


def _missing(name: str, field: FieldInfo | None) -> str:
    if field is None or not field.examples:
        return f"missing; write '{name}: …'"
    example = field.examples[0]
    shown = example if isinstance(example, str) else got(example)
    return f"missing; write for example '{name}: {shown}'"


def _known(path: FieldPath, parent: type[BaseModel] | None) -> str:
    names = list(parent.model_fields) if parent else []
    near = suggestion(path[-1], names)
    if near or not names:
        return near
    return f"; the fields here are {', '.join(map(repr, names))}"


def _length(field: FieldInfo | None, depth: int, kind: str, context: Mapping[str, Any]) -> str:
    fixed = get_args(_tuple_at(field.annotation, depth)) if field else ()
    if fixed and fixed[-1] is not Ellipsis:
        return f"must be a list of {len(fixed)} values"
    limit = context.get("min_length") if kind == "too_short" else context.get("max_length")
    side = "at least" if kind == "too_short" else "at most"
    return f"must have {side} {limit} {'entry' if limit == 1 else 'entries'}"


def _tuple_at(annotation: Any, depth: int) -> Any:
    """The type of tuple, that many lists deep, in what a field is declared as; none where there is none."""
    if get_origin(annotation) is tuple:
        return annotation if depth == 0 else _tuple_at(get_args(annotation)[0], depth - 1)
    wrapped = get_origin(annotation) in (Annotated, Union, types.UnionType)
    inside = (_tuple_at(part, depth) for part in get_args(annotation) if wrapped)
    return next((found for found in inside if found is not None), None)


def _range(field: FieldInfo | None, kind: str, context: Mapping[str, Any]) -> str:
    """Both ends of the range if the field declares them, so that the next attempt is right."""
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
        for name, kind in (
            ("ge", annotated_types.Ge),
            ("gt", annotated_types.Gt),
            ("le", annotated_types.Le),
            ("lt", annotated_types.Lt),
        ):
            if isinstance(mark, kind):
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
