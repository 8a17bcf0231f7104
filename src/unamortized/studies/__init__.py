"""Floor 6: studies, each a grid of runs, their evaluations, claims and figures; a line in ``STUDIES`` adds one."""

from unamortized.studies.compare import COMPARE
from unamortized.studies.depth import DEPTH
from unamortized.studies.faithfulness import FAITHFULNESS
from unamortized.studies.geometry import GEOMETRY
from unamortized.studies.law import LAW
from unamortized.studies.locality import LOCALITY
from unamortized.studies.modes import MODES
from unamortized.studies.pointer import POINTER
from unamortized.studies.stride import STRIDE
from unamortized.studies.study import Study
from unamortized.studies.training import TRAINING
from unamortized.studies.worlds import WORLDS

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (COMPARE, TRAINING, WORLDS, POINTER, LOCALITY, STRIDE, FAITHFULNESS, LAW, MODES, GEOMETRY, DEPTH)
}


def find_study(name: str) -> Study:
    """Return the study of that name; a ValueError lists the names."""
    if name not in STUDIES:
        raise ValueError(f"no study named '{name}'; there are {', '.join(STUDIES)}")
    return STUDIES[name]


def study_of(condition: str) -> Study:
    """Return the first study that trains a condition; else the headline study."""
    trains = (
        study
        for study in STUDIES.values()
        if any(condition in cell.conditions for preset in study.presets.values() for cell in preset.cells)
    )
    return next(trains, COMPARE)


__all__ = ["STUDIES", "Study", "find_study", "study_of"]
