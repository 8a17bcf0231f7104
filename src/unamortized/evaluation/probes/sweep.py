"""The sweep: fit a probe at every site and layer on validation problems, and score it on test problems.

Activations are read chunk by chunk and dropped again, so that memory does not grow with the number of problems.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.probes.activations import SITES, activations_at, respond_with_activations
from unamortized.evaluation.probes.fitting import FittedProbe, fit_probes, fitting_problems, scoring_problems
from unamortized.evaluation.probes.probe_baselines import PROBE_BASELINES, BaselineInput
from unamortized.evaluation.probes.ridge import explained
from unamortized.evaluation.probes.targets import TARGETS, belief, resolve_target
from unamortized.evaluation.protocol import Rows, SampleSize, before_training, recorder, snapshots, test_problems
from unamortized.labels import controls
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems

UNTRAINED, IN_SAMPLE = "untrained", "in_sample"
STANDARD = (UNTRAINED, "shuffled_belief", "window_4_exact", "last_statement")
EVERYTHING = (UNTRAINED, *PROBE_BASELINES, *TARGETS)
SMALLEST, LARGEST = 8, 512  # problems in the first and in the largest chunk


@dataclass(frozen=True)
class Probes:
    """How many problems, and what to compare with."""

    problems: int = 512  # to score on
    fitted: int | None = None  # problems to fit on; ``problems`` by default
    steps: tuple[int, ...] = ()  # steps at which the belief also gets a probe of its own
    beside: tuple[str, ...] = STANDARD  # baselines and further targets

    def __post_init__(self) -> None:
        for name in self.targets:
            resolve_target(name)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets beside the belief itself."""
        return tuple(name for name in self.beside if name != UNTRAINED and name not in PROBE_BASELINES)


class ProbeKey(NamedTuple):
    """Where a probe reads."""

    site: str
    control: str  # the baseline that stands in for the run's own layers, or ""
    layer: str  # "" for features without layers
    step: int | None  # None: all steps pooled


class Sample(NamedTuple):
    """The features that a probe reads in a chunk of problems, and its targets by name; the belief's name is ""."""

    key: ProbeKey
    features: Float[np.ndarray, "batch step width"]
    targets: dict[str, Float[np.ndarray, "batch step option"]]


def by_layer(run: Run, settings: Probes) -> Rows:
    """Measure R2 of probes at each site and layer, all steps pooled; of the belief also by step.

    Controls hold other features (``untrained``, ``PROBE_BASELINES``) or other targets, in both networks (``TARGETS``).
    """
    fitted_on = fitting_problems(run, settings.fitted or settings.problems, "probes")
    return fit_and_score(run, fitted_on, scoring_problems(run, settings.problems), settings)


def in_sample(run: Run, size: SampleSize) -> Rows:
    """Measure R2 of belief probes on the very problems that they were fitted on, before and after training.

    So Shai et al. (2024) score theirs. Where few words are possible, no more are left to score on.
    """
    problems = test_problems(run.task, run.task.steps.train[1], size.problems, run.spec.seed)
    rows = fit_and_score(run, problems, problems, Probes(beside=(UNTRAINED,)))
    return [row | {"control": controls(row["control"], IN_SAMPLE)} for row in rows]


def along_training(run: Run, settings: Probes) -> Rows:
    """Measure as ``by_layer``, of the belief alone, after 1, 2, 4, .. steps of training; nothing without snapshots."""
    settings = replace(settings, beside=(), steps=())
    return [row | {"variant": f"after_{step}"} for step, then in snapshots(run) for row in by_layer(then, settings)]


def fit_and_score(run: Run, fitted_on: Problems, scored_on: Problems, settings: Probes) -> Rows:
    """Fit probes of all targets on some problems, and measure R2 on others."""
    probes = fit_probes(
        (sample.key, sample.features, np.concatenate(list(sample.targets.values()), axis=2))
        for sample in samples(run, fitted_on, settings)
    )
    record, rows = recorder(run, scored_on.n_steps), Rows()
    for (key, target), value in score(probes, samples(run, scored_on, settings)).items():
        where = key._asdict() | {"control": controls(key.control, target)}
        rows.append(record("probe_r2", value, len(scored_on), **where))
    return rows


def score(probes: dict[ProbeKey, FittedProbe], samples: Iterator[Sample]) -> dict[tuple[ProbeKey, str], float]:
    """Return R2 by probe and target."""
    errors: defaultdict[tuple[ProbeKey, str], float] = defaultdict(float)
    seen: defaultdict[tuple[ProbeKey, str], list[np.ndarray]] = defaultdict(list)
    for key, features, targets in samples:
        bounds = np.cumsum([target.shape[2] for target in targets.values()])[:-1]
        readings = np.split(probes[key].probe.read(features), bounds, axis=2)
        for (name, target), reading in zip(targets.items(), readings, strict=True):
            errors[key, name] += float(((target - reading) ** 2).sum())
            seen[key, name].append(target)
    return {which: explained(error, np.concatenate(seen[which])) for which, error in errors.items()}


def samples(run: Run, problems: Problems, settings: Probes) -> Iterator[Sample]:
    """Yield all that probes read, chunk by chunk."""
    for chunk in chunks(problems):
        response = respond_with_activations(run, chunk, final_norm="own_output" in settings.beside)
        readers = {"": (run, response)}
        if UNTRAINED in settings.beside:
            before = before_training(run)
            readers[UNTRAINED] = (before, respond_with_activations(before, chunk, response.written))
        for site in SITES:
            steps = activations_at(run, chunk, response, site).steps
            of_belief = {"": belief(chunk, steps)}
            targets = of_belief | {name: resolve_target(name)(chunk, steps) for name in settings.targets}
            for control, (reader, answered) in readers.items():
                for layer, features in activations_at(reader, chunk, answered, site).features.items():
                    yield Sample(ProbeKey(site, control, layer, None), features, targets)
                    for place, step in enumerate(steps.tolist()):
                        if step in settings.steps and not control:
                            at_step = {"": of_belief[""][:, place, None]}
                            yield Sample(ProbeKey(site, control, layer, step), features[:, place, None], at_step)
            given = BaselineInput(run, chunk, response, site, steps)
            for name in settings.beside:
                if name in PROBE_BASELINES and (features := PROBE_BASELINES[name](given)) is not None:
                    yield Sample(ProbeKey(site, name, "", None), features, of_belief)


def chunks(problems: Problems) -> Iterator[Problems]:
    """Cut problems into chunks that double in size; the draws of some targets depend on the chunks."""
    first, size = 0, SMALLEST
    while first < len(problems):
        yield problems.take(slice(first, first + size))
        first, size = first + size, min(max(SMALLEST, first + size), LARGEST)
