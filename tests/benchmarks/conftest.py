"""Benchmarks may use every core; the summary compares each kernel with its fastest peer."""

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
        peers = {n: m for n, m in medians.items() if not n.startswith("kernel") and "float32" not in n}
        if {"kernel", "kernel_one_thread"} <= medians.keys() and peers:
            fastest = min(peers, key=peers.__getitem__)
            ratios = [f"{peers[fastest] / medians[name]:8.1f}" for name in ("kernel", "kernel_one_thread")]
            milliseconds = f"{1e3 * medians['kernel']:9.2f}{1e3 * peers[fastest]:9.2f}"
            lines.append(f"{group:28}{milliseconds}{''.join(ratios)}  {fastest}")
    if lines:
        terminalreporter.section("times faster than the fastest peer in float64")
        terminalreporter.line(f"{'':28}{'ms':>9}{'peer ms':>9}{'ratio':>8}{'1 thread':>9}  fastest peer")
        for line in lines:
            terminalreporter.line(line)
