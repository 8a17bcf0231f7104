"""Runs: their specification, their folders, and their provenance."""

from unamortized.learning.runs.provenance import git_commit, versions
from unamortized.learning.runs.specification import RUN_FORMAT, RunSpec, TrainSpec, plan_run
from unamortized.learning.runs.store import (
    Run,
    exclusively,
    is_finished,
    load_run,
    new_model,
    read_record,
    run_folder,
    save_model,
    sibling,
    snapshot_steps,
    weights_file,
    write_bytes,
    write_record,
    write_text,
    written_whole,
)

__all__ = [
    "RUN_FORMAT",
    "Run",
    "RunSpec",
    "TrainSpec",
    "exclusively",
    "git_commit",
    "is_finished",
    "load_run",
    "new_model",
    "plan_run",
    "read_record",
    "run_folder",
    "save_model",
    "sibling",
    "snapshot_steps",
    "versions",
    "weights_file",
    "write_bytes",
    "write_record",
    "write_text",
    "written_whole",
]
