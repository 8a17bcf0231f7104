"""A document: the fields of a configuration, each with its origin, so that an error can point to it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """One error in a document: its location, the field, and the requirement that the field breaks."""

    where: str  # 'tasks/mine.yaml:7' or 'override process.slip=1.2'
    field: str  # 'process.slip'; empty for the whole document, or if `where` already names the field
    message: str
    line: int | None = None  # None for overrides and for data without a file

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.field, self.message) if part)


class SpecError(ValueError):
    """All errors in one document: `faults` are sorted by line, with overrides last."""

    def __init__(self, name: str, faults: Iterable[Fault]):
        self.name = name
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line is None, fault.line or 0)))
        super().__init__(name, self.faults)  # both arguments, so that the error can be pickled

    def __str__(self) -> str:
        from_override = [fault.where.startswith("override ") for fault in self.faults]
        place = self.name
        if any(from_override):
            place = "the overrides" if all(from_override) else f"{self.name} and its overrides"
        count = "1 problem" if len(self.faults) == 1 else f"{len(self.faults)} problems"
        return "\n".join([*map(str, self.faults), f"{count} in {place}; nothing was run."])


@dataclass(frozen=True)
class Document:
    """Plain data with the line or override that each field came from, and the faults found while reading it."""

    name: str  # the file's path as the user gave it
    data: dict[str, Any]
    lines: Mapping[FieldPath, int] = field(default_factory=dict)  # from 1; () is the first field of the file
    overrides: Mapping[FieldPath, str] = field(default_factory=dict)  # field path -> 'process.slip=0.1'
    faults: tuple[Fault, ...] = ()

    def fault(self, path: FieldPath, message: str) -> Fault:
        """Return the fault of a field, located at its override, its own line, or the line of its nearest parent."""
        for target, text in self.overrides.items():
            created_by_override = path and path not in self.lines and target[: len(path)] == path
            if path[: len(target)] == target or created_by_override:
                return Fault(f"override {text}", "" if path == target else dotted(path), message)
        located = next((path[:end] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)
        if located is None:
            return Fault(self.name, dotted(path), message)
        line = self.lines[located]
        return Fault(f"{self.name}:{line}", dotted(path), message, line)


def dotted(path: FieldPath) -> str:
    """Format a path: `("steps", "test", 1)` becomes `steps.test[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def suggestion(written: object, options: Iterable[str]) -> str:
    """Return `; did you mean 'slip'?` with the option closest to the text, or nothing if none is close."""
    close = difflib.get_close_matches(str(written), list(options), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
