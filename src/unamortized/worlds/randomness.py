"""Keyed random streams and stable hashes: a draw is named by what it is for, so no two share numbers.

Generators seeded by ``seed + index`` make neighboring seeds share almost all of their problems. Here a
stream is keyed by a hash of all its names, so streams of different names are independent.
"""

import ast
import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


def stream(*keys: str | int) -> np.random.Generator:
    """A generator that depends on every key and on their order, alike on every machine.

    Args:
        keys: the names of the stream, for example ``(task, split, seed, index)``.
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(digest))))


def stream_seed(*keys: str | int) -> int:
    """A 63-bit seed for libraries that keep a generator of their own, keyed like ``stream``."""
    return int(stream(*keys).integers(2**63 - 1))


def digest(*parts: Any) -> str:
    """A 16-digit hash of plain JSON values: the name of a folder that depends on all of them."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Source(NamedTuple):
    """A module's text, as a hash, and the modules of this package that it imports."""

    text: str
    imports: frozenset[str]


@cache
def read_sources() -> Mapping[str, Source]:
    """Every module of this package as its files stand now, by name."""
    package = Path(__file__).parents[1]
    texts: dict[str, str] = {}
    for file in package.rglob("*.py"):
        parts = (package.name, *file.relative_to(package).with_suffix("").parts)
        texts[".".join(parts).removesuffix(".__init__")] = file.read_text()
    return {name: Source(digest(text), _imported(text, texts)) for name, text in texts.items()}


def _imported(text: str, known: Collection[str]) -> frozenset[str]:
    """Modules that a text imports from, or as names from their package; conditional imports count too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found & set(known))


def source_version(sources: Mapping[str, Source], module: str) -> str:
    """A hash of a module and all that it imports: changes whenever what it computes may have.

    A module from elsewhere (a test's) counts by its name.
    """
    reached, frontier = {module}, [module]
    while frontier:
        found = sources.get(frontier.pop(), Source("", frozenset())).imports - reached
        reached |= found
        frontier += found
    return digest([[name, sources[name].text if name in sources else ""] for name in sorted(reached)])
