"""Time, memory and disk space of corpora of up to a million problems of 64 steps, each in its own process.

Run with ``make bench``. Time a problem and memory should not depend on the number of problems.
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

COUNTS = (10_000, 100_000, 1_000_000)
MOST_MEMORY = 2 * 2**30  # resident bytes; imports take half a gigabyte
STEPS, BATCH, BATCHES = 64, 256, 50


def measure(count: int, root: Path) -> dict[str, float]:
    """Measure the time to build and to read batches, and the peak memory, of this process."""
    from unamortized.language.batches import corpus_problems
    from unamortized.language.corpus import build_corpus
    from unamortized.worlds.tasks import Task

    task = Task.model_validate(
        {
            "name": "corpus",
            "process": {"family": "noisy_permutation", "informativeness": 1.0},
            "query": "filter",
            "start": "fixed",
            "steps": {"train": [STEPS, STEPS], "test": [STEPS]},
            "codebook": {"resolution": 4},
        }
    )
    build_corpus(task, "train", 100, 1, root)  # compiles the kernels
    began = time.perf_counter()
    corpus = build_corpus(task, "train", count, 0, root)
    built = time.perf_counter()
    assert len(corpus.rows[STEPS]) == count
    opened = time.perf_counter()
    for step in range(BATCHES):
        corpus_problems(corpus, BATCH, [STEPS], 0, step)
    read = time.perf_counter()
    return {
        "count": count,
        "build_us": 1e6 * (built - began) / count,
        "open_ms": 1e3 * (opened - built),
        "batch_ms": 1e3 * (read - opened) / BATCHES,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30,
        "disk_gb": sum(file.stat().st_size for file in root.rglob("*.arrow")) / 2**30,
    }


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path)


def bench_corpus(folder, capsys):
    """Print a line for each size; memory must stay below two gigabytes."""
    rows = []
    for count in COUNTS:
        command = [sys.executable, __file__, str(count), str(folder / str(count))]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        assert rows[-1]["memory_gb"] * 2**30 < MOST_MEMORY
    with capsys.disabled():
        columns = list(rows[0])
        print("\n" + "".join(f"{name:>12}" for name in columns) + f"{'time ratio':>12}")
        for row in rows:
            figures = "".join(f"{row[name]:12.2f}" for name in columns[1:])
            print(f"{row['count']:12,}{figures}{row['build_us'] / rows[0]['build_us']:12.2f}")


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
