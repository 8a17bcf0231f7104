"""Keyed random streams and stable hashes: a draw is named by what it is for, so no two share numbers.

Generators seeded by ``seed + index`` make neighbouring seeds share almost all of their problems. Here a
stream is keyed by a hash of all its names, so streams of different names are independent.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

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


@cache
def source_version(*folders: str) -> str:
    """A hash of the package's source code in these folders: changes whenever what they compute may have."""
    package = Path(__file__).parents[1]
    files = sorted(file for folder in folders for file in (package / folder).rglob("*.py"))
    return digest([[str(file.relative_to(package)), file.read_text()] for file in files])
