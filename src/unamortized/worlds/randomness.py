"""Keyed random streams and stable hashes: each draw is keyed by its purpose, so no two draws share numbers.

Generators seeded with ``seed + index`` give neighboring seeds almost the same problems. Here the key of a stream is a
hash of all its names, so streams with different names are independent.
"""

import hashlib
import json
from typing import Any

import numpy as np


def stream(*keys: str | int) -> np.random.Generator:
    """Return a generator that depends on every key and on their order, and is the same on every machine."""
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(digest))))


def stream_seed(*keys: str | int) -> int:
    """Return a 63-bit seed for libraries with a generator of their own, keyed like ``stream``."""
    return int(stream(*keys).integers(2**63 - 1))


def digest(*parts: Any) -> str:
    """Return a 16-digit hash of plain JSON values."""
    return json_hash(parts)


def json_hash(value: Any) -> str:
    """Return a 16-digit hash of one plain JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
