"""Every test runs with shapes checked, from one seed, on one thread, and without a network."""

import os
import random
import socket
import sys
from pathlib import Path

# One thread a worker, as one thread a run; read by OpenMP, BLAS and numba when they are first loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "agg"

import hypothesis
import jaxtyping
import numpy as np
import pytest

SOURCE = Path(__file__).parents[1] / "src"
UNCHECKED = "unamortized.worlds.kernels"  # numba compiles these functions, beartype cannot wrap them
TYPECHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int is a float


def checked_modules() -> list[str]:
    """All modules but the unchecked; a name given to the hook also stands for every module below it."""
    files = (path.relative_to(SOURCE).with_suffix("") for path in (SOURCE / "unamortized").rglob("*.py"))
    names = {".".join(file.parts).removesuffix(".__init__") for file in files}
    return sorted(name for name in names if not _is_within(name, UNCHECKED) and not _is_within(UNCHECKED, name))


def _is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


if "--benchmark-enable" not in sys.argv:  # benchmarks time the code as it runs outside of tests
    jaxtyping.install_import_hook(checked_modules(), TYPECHECKER)

hypothesis.settings.register_profile("unamortized", deadline=None, derandomize=True, max_examples=40)
hypothesis.settings.load_profile("unamortized")


@pytest.fixture
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the repository's top, where ``tasks/`` is."""
    monkeypatch.chdir(SOURCE.parent)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same seeds before each test, whatever ran before it; torch only where a test has loaded it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.set_num_threads(1)


def _local_only(connect):
    def guarded(self: socket.socket, address):
        if self.family != socket.AF_UNIX:
            self.close()
            pytest.fail(f"opened a connection to {address!r}; nothing in this package needs a network")
        return connect(self, address)

    return guarded


# For good and in every worker, not only while a test runs: an import may not reach out either.
socket.socket.connect = _local_only(socket.socket.connect)
socket.socket.connect_ex = _local_only(socket.socket.connect_ex)
