"""Benchmarks may use every core; the summary compares the kernel with its fastest peer."""

import os
import sys
from collections import defaultdict

if "--benchmark-enable" in sys.argv:  # numba and BLAS read these when they are loaded
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.pop(name, None)


def pytest_terminal_summary(terminalreporter, config):
    """Print ratios of medians for each group with a kernel and a peer."""
    groups = defaultdict(dict)
    session = getattr(config, "_benchmarksession", None)
    for timed in session.benchmarks if session else ():
        if "implementation" in (timed.params or {}) and timed.stats.data:
            groups[timed.group][timed.params["implementation"]] = timed.stats.median
    lines = []
    for group, medians in groups.items():
        peers = {n: m for n, m in medians.items() if n != "kernel" and "float32" not in n}
        if "kernel" in medians and peers:
            fastest, kernel = min(peers, key=peers.__getitem__), medians["kernel"]
            times = f"{1e3 * kernel:9.2f}{1e3 * peers[fastest]:9.2f}{peers[fastest] / kernel:8.1f}"
            lines.append(f"{group:28}{times}  {fastest}")
    if lines:
        terminalreporter.section("times faster than the fastest peer in float64")
        terminalreporter.line(f"{'':28}{'ms':>9}{'peer ms':>9}{'ratio':>8}  fastest peer")
        for line in lines:
            terminalreporter.line(line)
