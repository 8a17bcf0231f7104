"""Hashes of this package's own source, so that cached results are recomputed when the code behind them changes."""

import ast
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from unamortized.worlds.randomness import digest


class ModuleSource(NamedTuple):
    """The hash of a module's text, and the modules of this package that it imports."""

    text: str
    imports: frozenset[str]


@cache
def read_sources() -> Mapping[str, ModuleSource]:
    """Read every module of this package from its current files, by name."""
    package = Path(__file__).parents[1]
    texts: dict[str, str] = {}
    for file in package.rglob("*.py"):
        parts = (package.name, *file.relative_to(package).with_suffix("").parts)
        texts[".".join(parts).removesuffix(".__init__")] = file.read_text()
    return {name: ModuleSource(digest(text), _imports(text, texts)) for name, text in texts.items()}


def _imports(text: str, modules: Collection[str]) -> frozenset[str]:
    """Find the modules that a text imports, including conditional imports and modules imported as names."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found & set(modules))


def source_version(sources: Mapping[str, ModuleSource], module: str) -> str:
    """Hash a module and everything it imports: the hash changes whenever its results may have changed.

    A module outside the package, such as a test's, counts by its name alone.
    """
    reached, frontier = {module}, [module]
    while frontier:
        found = sources.get(frontier.pop(), ModuleSource("", frozenset())).imports - reached
        reached |= found
        frontier += found
    return digest([[name, sources[name].text if name in sources else ""] for name in sorted(reached)])
