"""Read the labeled transition matrices of any process from a file."""

import json
from pathlib import Path

import numpy as np
import yaml

from unamortized.configuration.document import suggestion
from unamortized.worlds.processes.process import Process


def matrices(path: str | Path) -> Process:
    """Read labeled transition matrices from a .npy, .npz, .yaml or .json file.

    The keys are `transitions` (symbol, state, state) and, optionally, `initial` (state), which defaults to the
    stationary distribution; .yaml and .json hold them as nested lists. A .npy file holds `transitions` alone.

    Raises:
        ValueError: if the file is missing or does not have this form; names the file and the error.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: the name must end in {', '.join(_READERS)}")
    try:
        content = _READERS[path.suffix](path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, yaml.YAMLError, EOFError) as error:
        raise ValueError(f"{path}: is not a valid {path.suffix} file ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold the key `transitions` and, optionally, `initial`")
    for key in content:
        if key not in ("transitions", "initial"):
            hint = suggestion(key, ("transitions", "initial")) or "; the keys are 'transitions' and 'initial'"
            raise ValueError(f"{path}: {key}: unknown key{hint}")
    if content.get("transitions") is None:
        raise ValueError(f"{path}: transitions: is required, with shape (symbols, states, states)")
    transitions = _numbers(path, "transitions", content["transitions"])
    if transitions.ndim != 3:
        shape = transitions.shape
        raise ValueError(f"{path}: transitions must have shape (symbols, states, states) (got {shape})")
    initial = content.get("initial")
    try:
        return Process(transitions, initial if initial is None else _numbers(path, "initial", initial))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


_READERS = {
    ".npy": lambda path: {"transitions": np.load(path, allow_pickle=False)},
    ".npz": _read_npz,
    ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8")),
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}


def _numbers(path: Path, key: str, value: object) -> np.ndarray:
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"{path}: {key}: the nested lists must have equal lengths") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: {key}: must hold numbers only")
    return array.astype(np.float64)
