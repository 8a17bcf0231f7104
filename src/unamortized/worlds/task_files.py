"""Find and read the file of a task."""

from collections.abc import Sequence
from pathlib import Path

from unamortized.configuration.document import Fault, SpecError, suggestion
from unamortized.configuration.field_errors import validate
from unamortized.configuration.overrides import apply_overrides
from unamortized.configuration.yaml_reader import read_yaml
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

TASKS = Path("tasks")


def load_task(path: str | Path, overrides: Sequence[str] = ()) -> Task | NetTask:
    """Load a task from its file; a bare name such as `mess3` means `tasks/mess3.yaml`.

    A file with `net:` in place of `process:` describes a task about a Bayes net.

    Raises:
        SpecError: with every error in the file and the overrides, each with its line.
    """
    file = _find(Path(path))
    document = read_yaml(file)
    document.data.setdefault("name", file.stem)
    is_about_net = "net" in document.data and "process" not in document.data
    document = apply_overrides(document, overrides)
    return validate(NetTask, document) if is_about_net else validate(Task, document, context={"folder": file.parent})


def _find(path: Path) -> Path:
    is_bare_name = path.parent == Path() and not path.suffix
    file = TASKS / f"{path}.yaml" if is_bare_name else path
    if file.is_file():
        return file
    names = sorted(other.stem for other in file.parent.glob("*.yaml"))
    listing = f"the tasks here are {', '.join(names)}" if names else f"there are no tasks in {file.parent}/"
    message = f"no such task; {listing}{suggestion(file.stem, names)}"
    raise SpecError(str(file), [Fault(str(file), "", message)])
