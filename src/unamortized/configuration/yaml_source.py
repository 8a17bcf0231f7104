"""YAML read with the line of every field, so that any later complaint can say where to look.

`read_yaml` and `apply_overrides` give a `Source`: plain data, the line of each field path, and which fields
came from an override. `field_errors.validate` turns a source into a pydantic model, or raises one `SpecError`
that lists everything that is wrong. Scalars follow the YAML 1.2 core schema: `1e-3` is a number, `no` and
`1:30` are text.
"""

import copy
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

FieldPath = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where it is written, the field it concerns, and what to write instead."""

    where: str  # 'tasks/mine.yaml:7' or 'override process.slip=1.2'
    field: str  # 'process.slip'; empty where the whole is meant, or where `where` already names it
    message: str
    line: int | None = None  # None for overrides and for data that came from no file

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.field, self.message) if part)


class SpecError(ValueError):
    """Everything that is wrong with one spec: `faults` by line, overrides last; `str()` is for the reader."""

    def __init__(self, name: str, faults: Iterable[Fault]):
        self.name = name
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line is None, fault.line or 0)))
        super().__init__(name, self.faults)  # both arguments, so that the error crosses process borders

    def __str__(self) -> str:
        overridden = [fault.where.startswith("override ") for fault in self.faults]
        place = self.name
        if any(overridden):
            place = "the overrides" if all(overridden) else f"{self.name} and its overrides"
        count = "1 problem" if len(self.faults) == 1 else f"{len(self.faults)} problems"
        return "\n".join([*map(str, self.faults), f"{count} in {place}; nothing was run."])


@dataclass(frozen=True)
class Source:
    """Data with its origin; `field_errors.validate` reports the faults found while reading with its own."""

    name: str  # as messages show it: the file's path as the user gave it
    data: dict[str, Any]
    lines: Mapping[FieldPath, int] = field(default_factory=dict)  # 1-based; () is the first field of the file
    overrides: Mapping[FieldPath, str] = field(default_factory=dict)  # field path -> 'process.slip=0.1'
    faults: tuple[Fault, ...] = ()

    def fault(self, path: FieldPath, message: str) -> Fault:
        """The fault of the field at `path`, at its own line, its parent's line, or its override."""
        for target, text in self.overrides.items():
            made_by_it = path and path not in self.lines and target[: len(path)] == path
            if path[: len(target)] == target or made_by_it:
                return Fault(f"override {text}", "" if path == target else dotted(path), message)
        known = next((path[:end] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)
        if known is None:
            return Fault(self.name, dotted(path), message)
        line = self.lines[known]
        return Fault(f"{self.name}:{line}", dotted(path), message, line)


def dotted(path: FieldPath) -> str:
    """`("steps", "test", 1)` as `steps.test[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def suggestion(written: object, options: Iterable[str]) -> str:
    """`; did you mean 'slip'?` for the nearest of `options`, or nothing if none is near."""
    near = difflib.get_close_matches(str(written), list(options), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def read_yaml(path: str | Path) -> Source:
    """The fields of a YAML file.

    Raises:
        SpecError: if the file cannot be read, is not YAML, is empty, or is not a block of fields.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise _fatal(str(path), None, "no such file") from None
    except OSError as error:
        raise _fatal(str(path), None, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _fatal(str(path), line, "not UTF-8 text; save the file as UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Source:
    """As `read_yaml`, from text; `name` stands for the file in messages."""
    root = _compose(text, name)
    if root is None:
        raise _fatal(name, 1, "the file is empty; write its fields as 'field: value' lines")
    if not isinstance(root, yaml.MappingNode):
        raise _fatal(name, _line(root), "must be a block of 'field: value' lines")
    reader = _Reader(name)
    data = reader.value(root, ())
    return Source(name, data, {(): _line(root)} | reader.lines, faults=tuple(reader.faults))


def apply_overrides(source: Source, overrides: Sequence[str]) -> Source:
    """The source with `process.slip=0.1`, `steps.train=[1, 8]`, … written over it.

    The last of two equal paths wins. Whether the fields exist is for `field_errors.validate` to judge.

    Raises:
        SpecError: if an override is not `field=value`, its value is not YAML, or it reaches into a value.
    """
    data, texts = copy.deepcopy(source.data), dict(source.overrides)
    faults: list[Fault] = []
    for text in overrides:
        try:
            path, value = _parse_override(text)
            _write(data, path, value)
        except ValueError as error:
            faults.append(Fault(f"override {text}", "", str(error)))
            continue
        texts.pop(path, None)
        texts[path] = text
    if faults:
        raise SpecError(source.name, [*source.faults, *faults])
    return replace(source, data=data, overrides=texts)


def _parse_override(text: str) -> tuple[FieldPath, Any]:
    target, equals, written = text.partition("=")
    path = tuple(part.strip() for part in target.split("."))
    if not equals or not all(path):
        raise ValueError("must be written as field=value, for example train.steps=500")
    if not written.strip():
        raise ValueError(f"no value after '='; to set it to nothing, write {target.strip()}=null")
    try:
        node = _compose(written, "")
    except SpecError as error:
        raise ValueError(error.faults[0].message) from None
    if node is None or isinstance(node, yaml.MappingNode):
        raise ValueError("an override sets one field to one value or list")
    reader = _Reader("")
    value = reader.value(node, path)
    if reader.faults:
        raise ValueError(reader.faults[0].message)
    return path, value


def _write(data: dict[str, Any], path: FieldPath, value: Any) -> None:
    block: Any = data
    for depth, part in enumerate(path[:-1], start=1):
        block = block.setdefault(part, {})
        if not isinstance(block, dict):
            raise ValueError(f"{dotted(path[:depth])} is not a block of fields; override it as a whole")
    block[path[-1]] = value


def _fatal(name: str, line: int | None, message: str) -> SpecError:
    return SpecError(name, [Fault(name if line is None else f"{name}:{line}", "", message, line)])


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


class _Loader(yaml.BaseLoader):
    """Composes nodes only: no tag is executed, and no alias can multiply a small file into a large one."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"the alias '*{event.anchor}' is not supported; write the value out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _fatal(name, mark.line + 1 if mark else None, f"not valid YAML: {_advice(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        code = f"U+{ord(text[error.position]):04X}"
        raise _fatal(name, line, f"not valid YAML: the invisible character {code} is not allowed") from None
    except RecursionError:
        raise _fatal(name, None, "nested too deeply") from None


def _advice(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be read"
    if "'\\t'" in problem:
        return "a tab where only spaces may stand; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second ':' in one line; check the indentation above, and put text with ': ' in quotes"
    if "could not find expected ':'" in problem:
        return "a line without 'field: value'; is a ':' missing, or the space after it?"
    if "expected a single document" in (error.context or ""):
        return "a second document after '---'; keep one"
    if "'<stream end>'" in problem or "unexpected end of stream" in problem:
        return "it ends too early; is a bracket or a quote left open?"
    return problem


class _Reader:
    """Nodes to plain values; notes the line of every field and what is wrong on the way."""

    def __init__(self, name: str):
        self.name = name
        self.lines: dict[FieldPath, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag[18:] not in ("str", "seq", "map"):
            self._note(node, path, f"the tag '{node.tag}' is not supported; write a plain value")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._block(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*path, index)] = _line(item)
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node.value, quoted=getattr(node, "style", None) is not None)

    def _block(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        block: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, path, "a field's name must be a single word")
                continue
            here = (*path, str(key.value))
            if key.value in block:
                first = self.lines[here]
                self._note(key, here, f"written twice (first in line {first}); keep one")
                continue
            self.lines[here] = _line(key)
            block[key.value] = self.value(item, here)
        return block

    def _note(self, node: yaml.Node, path: FieldPath, message: str) -> None:
        line = _line(node)
        self.faults.append(Fault(f"{self.name}:{line}", dotted(path), message, line))


def _scalar(text: str, quoted: bool) -> Any:
    if quoted:  # or a block of text
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text.lower()):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
