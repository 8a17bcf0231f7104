"""Check that a GPU computes what the CPU does: run the smoke preset on both, and compare the tables row by row.

For a person with a GPU: ``python tests/gpu_check.py``. The exit status is 0 if the tables agree, 1 if they do not, and
2 if torch finds no GPU. The seconds include starting Python, and models of this preset train for a few steps only.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

TOP = Path(__file__).parents[1]
MEASURED = ["value", "count", "unit", "run"]  # every other column says where a row belongs

# Differences are relative to the value, absolute where it is below 1. Noise of 3e-7 at every layer, in place of a GPU's
# other order of summation, moved no value of this preset by more than 1.4e-5.
EXACT = 0.0  # baselines, and the FLOPs of an answer: no model computes them
STRICT = 2e-4
# A rounding error that breaks a tie changes one decision as a whole. A share of decisions then moves by one in 64
# problems. After a token of a trace, all later ones differ, and so does every measure of that problem.
LOOSE = 0.05
DECISIONS = ("map_agreement", "calibration_error", "mistake_changed", "trace_agreement")
WRITES_A_TRACE = "cot"


def read_metrics(device: str, results: Path) -> tuple[pd.DataFrame, float]:
    """Run the smoke preset of the headline study on a device; return its table and the seconds that it took."""
    command = [str(Path(sys.executable).with_name("unamortized")), "compare", "--preset", "smoke", "--workers", "1"]
    began = time.monotonic()
    done = subprocess.run([*command, "--device", device, "--results", str(results)], cwd=TOP, check=False)
    if done.returncode:
        sys.exit(f"gpu_check: the study failed on {device} (exit status {done.returncode}); nothing was compared")
    table = pd.read_csv(results / "smoke" / "compare" / "metrics.csv", dtype={"layer": str})
    return table, time.monotonic() - began


def compare(cpu: pd.DataFrame, gpu: pd.DataFrame) -> pd.DataFrame:
    """Pair the rows of two tables; return each with its difference (infinite without a partner) and its tolerance."""
    where = [column for column in cpu.columns if column not in MEASURED]
    both = cpu.merge(gpu, on=where, how="outer", suffixes=("", "_gpu"), indicator="in")
    off = (both["value"] - both["value_gpu"]).abs() / both["value"].abs().clip(lower=1)
    off = off.mask((both["in"] == "both") & both["value"].isna() & both["value_gpu"].isna(), 0.0)
    of_model = both["run"].notna() & (both["metric"] != "answer_flops")
    decided = both["metric"].isin(DECISIONS) | (both["condition"] == WRITES_A_TRACE)
    tolerance = np.where(~of_model, EXACT, np.where(decided, LOOSE, STRICT))
    return both[where].assign(difference=off.fillna(np.inf), tolerance=tolerance)


def main() -> int:
    """Run, compare, and print the largest difference of each metric."""
    if not torch.cuda.is_available():
        print("gpu_check: this check needs a GPU, and torch finds none that it can use", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        cpu, gpu = (read_metrics(device, Path(folder) / device) for device in ("cpu", "cuda"))
    rows = compare(cpu[0], gpu[0])
    print(rows.groupby(["metric", "tolerance"])["difference"].agg(rows="size", largest="max").to_string())
    print(f"seconds on the CPU: {cpu[1]:.1f}; on {torch.cuda.get_device_name()}: {gpu[1]:.1f}")
    wrong = rows[rows["difference"] > rows["tolerance"]]
    if wrong.empty:
        print(f"{len(rows)} rows agree")
        return 0
    print(f"{len(wrong)} of {len(rows)} rows differ by more than their tolerance:\n{wrong.to_string(index=False)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
