"""Floor 6: studies, each a grid of runs, their evaluations, claims and figures; a line in ``STUDIES`` adds one."""

from unamortized.studies.compare import COMPARE
from unamortized.studies.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (COMPARE,)}


def find_study(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in STUDIES:
        raise ValueError(f"no study named '{name}'; there are {', '.join(STUDIES)}")
    return STUDIES[name]


__all__ = ["STUDIES", "Study", "find_study"]
