"""Read YAML into documents that know the line of every field.

Scalars follow the YAML 1.2 core schema: `1e-3` is a number, `no` and `1:30` are text. Tags are never executed and
aliases are refused, so a small file cannot expand into a large one.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from unamortized.configuration.document import Document, Fault, FieldPath, SpecError, dotted

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


def read_yaml(path: str | Path) -> Document:
    """Read the fields of a YAML file; a SpecError if it cannot be read or is not a block of fields."""
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


def parse_yaml(text: str, name: str) -> Document:
    """Parse text as `read_yaml` does; `name` stands for the file in error messages."""
    root = _compose(text, name)
    if root is None:
        raise _fatal(name, 1, "the file is empty; write its fields as 'field: value' lines")
    if not isinstance(root, yaml.MappingNode):
        raise _fatal(name, _line(root), "must be a block of 'field: value' lines")
    reader = _Reader(name)
    data = reader.value(root, ())
    return Document(name, data, {(): _line(root)} | reader.lines, faults=tuple(reader.faults))


def parse_value(text: str) -> Any:
    """Parse one scalar or list; a ValueError if the text is anything else."""
    try:
        node = _compose(text, "")
    except SpecError as error:
        raise ValueError(error.faults[0].message) from None
    if node is None or isinstance(node, yaml.MappingNode):
        raise ValueError("an override sets one field to one value or list")
    reader = _Reader("")
    value = reader.value(node, ())
    if reader.faults:
        raise ValueError(reader.faults[0].message)
    return value


def _fatal(name: str, line: int | None, message: str) -> SpecError:
    return SpecError(name, [Fault(name if line is None else f"{name}:{line}", "", message, line)])


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


class _Loader(yaml.BaseLoader):
    """Compose nodes without constructing values, and refuse aliases."""

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
        return "a tab in the indentation; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second ':' on one line; check the indentation above, and quote text that contains ': '"
    if "could not find expected ':'" in problem:
        return "a line without 'field: value'; is a ':' missing, or the space after it?"
    if "expected a single document" in (error.context or ""):
        return "a second document after '---'; keep one"
    if "'<stream end>'" in problem or "unexpected end of stream" in problem:
        return "it ends too early; is a bracket or a quote left open?"
    return problem


class _Reader:
    """Convert nodes to plain values; collect the line of every field and the faults on the way."""

    def __init__(self, name: str):
        self.name = name
        self.lines: dict[FieldPath, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag[18:] not in ("str", "seq", "map"):
            self._add_fault(node, path, f"the tag '{node.tag}' is not supported; write a plain value")
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
                self._add_fault(key, path, "a field's name must be a single word")
                continue
            here = (*path, str(key.value))
            if key.value in block:
                self._add_fault(key, here, f"written twice (first on line {self.lines[here]}); keep one")
                continue
            self.lines[here] = _line(key)
            block[key.value] = self.value(item, here)
        return block

    def _add_fault(self, node: yaml.Node, path: FieldPath, message: str) -> None:
        line = _line(node)
        self.faults.append(Fault(f"{self.name}:{line}", dotted(path), message, line))


def _scalar(text: str, quoted: bool) -> Any:
    if quoted:  # block scalars count as quoted
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text.lower()):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
