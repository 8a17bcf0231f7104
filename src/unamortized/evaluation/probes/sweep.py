"""The sweep: what can be read affinely, by layer, site, step and target, beside what would be read all the same.

Probes are fitted on validation problems and scored on test problems, which share no question. Activations are added up
chunk by chunk and dropped again, so that a million of them take no more memory than a thousand.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.distances import kl
from unamortized.evaluation.probes.probe_baselines import RIVALS, Heard
from unamortized.evaluation.probes.readings import as_belief, as_distribution
from unamortized.evaluation.probes.ridge import Moments, Probe, apply, moments, ridge_probe
from unamortized.evaluation.probes.sites import SITES, listen, read, steps_at
from unamortized.evaluation.probes.targets import TARGETS, belief, resolve_target
from unamortized.evaluation.protocol import Rows, split_of, test_problems
from unamortized.evaluation.rows import row
from unamortized.learning.runs import Run, load_run, new_model, snapshot_steps
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import apart, draw

UNTRAINED = "untrained"
EVERYTHING = (UNTRAINED, *RIVALS, *TARGETS)
SMALLEST, LARGEST = 8, 512  # problems in the first and in the largest chunk
SAME = 1e-9  # beliefs nearer than this are one
ZERO = 1e-12  # variance of what does not vary


@dataclass(frozen=True)
class Probes:
    """How much is evaluated."""

    problems: int = 512  # to score on
    fitted: int | None = None  # problems to fit on; as many if not given
    ridge: float = 1.0
    steps: tuple[int, ...] = ()  # steps that also get a probe of their own
    beside: tuple[str, ...] = (UNTRAINED, "shuffled_belief", "window_10")  # controls and further targets
    closely: bool = False  # all measures of a probe, not its R2 alone

    def __post_init__(self) -> None:
        for name in self.beside:
            if name != UNTRAINED and name not in RIVALS:
                resolve_target(name)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the layers are asked for; the belief itself has no name."""
        return ("", *(name for name in self.beside if name != UNTRAINED and name not in RIVALS))


class Look(NamedTuple):
    """Features of a chunk of problems at a site, and what they are asked for."""

    site: str
    name: str  # of a control; none for the run's own layers
    layer: str  # none where there are no layers
    features: Float[np.ndarray, "batch step width"]
    targets: dict[str, Float[np.ndarray, "batch step option"]]
    steps: Int[np.ndarray, " step"]


Key = tuple[str, str, str]  # site, name, layer


def by_layer(run: Run, settings: Probes) -> Rows:
    """How well beliefs are read at each layer and site, steps pooled and by step, beside controls and other targets.

    What is beside is told by what is appended to the condition. Other features, asked for the belief:
    ``/untrained``, the network before training, reading the same question and trace; ``/window_10``, the last ten
    observations alone; ``/random_relu``, random features of these; ``/own_output``, the model's distribution over
    what comes next; ``/last_statement``, the last stated belief times the next observation. The same layers, asked
    for something else: see ``TARGETS``.
    """
    n_steps, seed = run.task.steps.train[1], run.spec.seed
    fitted_on = draw(run.task, "validation", n_steps, settings.fitted or settings.problems, seed, "probes")
    scored_on = test_problems(run.task, n_steps, settings.problems, seed)
    fitted_on, scored_on = apart(run.task, fitted_on, "validation"), apart(run.task, scored_on, "test")
    fits, codelengths = _fit(run, fitted_on, settings)
    tallies = _score(run, scored_on, fits, settings)
    return _told(run, tallies, codelengths, len(scored_on), n_steps, settings)


def along_training(run: Run, settings: Probes) -> Rows:
    """The same after 1, 2, 4, .. steps of training, under ``<condition>/after_<steps>``; nothing without snapshots."""
    rows: Rows = []
    for step in snapshot_steps(run.spec):
        then = by_layer(load_run(run.folder, step), replace(settings, beside=(), steps=()))
        rows += [row | {"condition": f"{row['condition']}/after_{step}"} for row in then]
    return rows


# ── what is looked at ────────────────────────────────────────────────────────────────────────────


def looks(run: Run, problems: Problems, settings: Probes) -> Iterator[Look]:
    """Everything that is probed of a chunk of problems."""
    response = listen(run, problems, output="own_output" in settings.beside)
    unlearned = replace(run, model=new_model(run.spec).eval()) if UNTRAINED in settings.beside else None
    before = unlearned and listen(unlearned, problems, response.written)
    for site in SITES:
        steps = steps_at(problems, response, site)
        targets = {
            name: resolve_target(name)(problems, steps) if name else belief(problems, steps)
            for name in settings.targets
        }
        only = {"": targets[""]}
        for layer, features in read(run, problems, response, site).features.items():
            yield Look(site, "", layer, features, targets, steps)
        if unlearned and before:
            for layer, features in read(unlearned, problems, before, site).features.items():
                yield Look(site, UNTRAINED, layer, features, targets, steps)
        heard = Heard(run, problems, response, site, steps)
        for name in settings.beside:
            if name in RIVALS and (rival := RIVALS[name](heard)) is not None:
                yield Look(site, name, "", rival, only, steps)


def portions(problems: Problems) -> Iterator[Problems]:
    """Problems in chunks that double in size up to a largest one."""
    first, size = 0, SMALLEST
    while first < len(problems):
        yield problems.take(slice(first, first + size))
        first, size = first + size, min(max(SMALLEST, first + size), LARGEST)


# ── fitting ──────────────────────────────────────────────────────────────────────────────────────


class FittedProbes(NamedTuple):
    """A probe of all steps together, and those of single steps; for all targets side by side."""

    pooled: Probe
    by_step: dict[int, Probe]


def _fit(run: Run, fitted_on: Problems, settings: Probes) -> tuple[dict[Key, FittedProbes], dict[Key, float]]:
    """Probes by what is looked at; and their online codelength, nats a belief.

    The codelength is prequential (Voita & Titov 2020): each chunk's beliefs are coded by the probe of all chunks
    before it, the first chunk's evenly.
    """
    gathered: dict[tuple[Key, int | None], Moments] = {}
    coded: dict[Key, tuple[float, int]] = {}
    for chunk in portions(fitted_on):
        for look in looks(run, chunk, settings):
            key, beliefs = (look.site, look.name, look.layer), look.targets[""]
            side_by_side = np.concatenate(list(look.targets.values()), axis=2)
            if settings.closely:
                before, exact = gathered.get((key, None)), as_distribution(run, beliefs)
                said = np.full_like(exact, 1 / exact.shape[-1])
                if before:
                    probe = ridge_probe(before.options(slice(beliefs.shape[2])), settings.ridge)
                    said = as_belief(as_distribution(run, apply(probe, look.features)))
                length, count = coded.get(key, (0.0, 0))
                coded[key] = length - float((exact * np.log(said)).sum()), count + exact[..., 0].size
            for place, step in [(None, None), *_own(look.steps, settings)]:
                here = slice(None) if place is None else slice(place, place + 1)
                chunk_moments = moments(look.features[:, here], side_by_side[:, here])
                known = gathered.get((key, step))
                gathered[key, step] = known.merge(chunk_moments) if known else chunk_moments
    probes = {(key, step): ridge_probe(found, settings.ridge) for (key, step), found in gathered.items()}
    fits = {
        key: FittedProbes(probe, {step: own for (of, step), own in probes.items() if of == key and step is not None})
        for (key, which), probe in probes.items()
        if which is None
    }
    return fits, {key: length / count for key, (length, count) in coded.items()}


def _own(steps: Int[np.ndarray, " step"], settings: Probes) -> list[tuple[int, int]]:
    """Places and steps that get a probe of their own."""
    return [(place, int(step)) for place, step in enumerate(steps) if step in settings.steps]


# ── scoring ──────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Tally:
    """Running sums of how far readings are from targets, all options pooled."""

    around: Float[np.ndarray, " option"]  # near the targets' mean, so that their variance does not cancel
    weight: float = 0.0
    error: float = 0.0
    squares: float = 0.0
    sums: float | Float[np.ndarray, " option"] = 0.0

    def add(
        self,
        targets: Float[np.ndarray, "batch step option"],
        read_off: Float[np.ndarray, "batch step option"],
        weights: Float[np.ndarray, "batch step"],
    ) -> None:
        """Take in a chunk."""
        centered = targets - self.around
        self.weight += float(weights.sum())
        self.error += float(np.einsum("bt,bto->", weights, (targets - read_off) ** 2))
        self.squares += float(np.einsum("bt,bto->", weights, centered**2))
        self.sums = self.sums + np.einsum("bt,bto->o", weights, centered)

    @property
    def r2(self) -> float:
        """Share of the variance explained; not a number where nothing varies."""
        spread = self.squares - float((np.asarray(self.sums) ** 2).sum()) / self.weight
        return 1 - self.error / spread if spread > ZERO * max(1.0, self.weight) else np.nan

    @property
    def rmse(self) -> float:
        """Root mean squared error of one option."""
        return float(np.sqrt(self.error / self.weight / len(self.around)))


class Scored(NamedTuple):
    """How one target is read from what is looked at."""

    by_step: dict[int | None, Tally]  # none: of all steps together
    distinct: Tally  # the same, each belief once
    kls: list[Float[np.ndarray, "batch step"]]


def _score(
    run: Run, scored_on: Problems, fits: dict[Key, FittedProbes], settings: Probes
) -> dict[tuple[Key, str], Scored]:
    """Tallies by what is looked at and target."""
    once: dict[str, Float[np.ndarray, "batch step"]] = {}
    tallies: dict[tuple[Key, str], Scored] = {}
    first = 0
    for chunk in portions(scored_on):
        rows = slice(first, first + len(chunk))
        first = rows.stop
        for look in looks(run, chunk, settings):
            key: Key = (look.site, look.name, look.layer)
            if settings.closely and look.site not in once:
                once[look.site] = _share_of_each(scored_on.beliefs[:, look.steps])
            start = 0
            for name, targets in look.targets.items():
                which = slice(start, start + targets.shape[2])
                start = which.stop
                steps = [(None, None), *_own(look.steps, settings)]
                if (key, name) not in tallies:
                    around = targets.reshape(-1, targets.shape[2]).mean(axis=0)
                    tallies[key, name] = Scored({step: Tally(around) for _, step in steps}, Tally(around), [])
                scored, weights = tallies[key, name], np.ones(targets.shape[:2])
                read_off = apply(fits[key].pooled.options(which), look.features)
                scored.by_step[None].add(targets, read_off, weights)
                for place, step in steps[1:]:
                    here = slice(place, place + 1)
                    own = apply(fits[key].by_step[step].options(which), look.features[:, here])
                    scored.by_step[step].add(targets[:, here], own, weights[:, here])
                if settings.closely and not name:
                    scored.distinct.add(targets, read_off, once[look.site][rows])
                    exact = as_distribution(run, targets)
                    scored.kls.append(kl(exact, as_belief(as_distribution(run, read_off))))
    return tallies


def _share_of_each(beliefs: Float[np.ndarray, "batch step state"]) -> Float[np.ndarray, "batch step"]:
    """One over how often each belief occurs at any step of any problem."""
    cells = np.floor(beliefs / SAME + 1 / np.e).astype(np.int64).reshape(-1, beliefs.shape[2])
    _, which, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    return (1 / counts[which.reshape(-1)]).reshape(beliefs.shape[:2])


# ── what is told ─────────────────────────────────────────────────────────────────────────────────


def _told(
    run: Run,
    tallies: dict[tuple[Key, str], Scored],
    codelengths: dict[Key, float],
    count: int,
    n_steps: int,
    settings: Probes,
) -> Rows:
    condition, split = run.spec.condition, split_of(run.task, n_steps)
    rows: Rows = []
    for (key, target), scored in tallies.items():
        site, control, layer = key
        name = "/".join(part for part in (condition, control, target) if part)
        prefix = "question_" if site == "question" else ""
        record = partial(row, run.task.name, name, run.spec.seed, split, count=count, n_steps=n_steps)
        at: dict[str, Any] = {"layer": layer} if layer else {}
        for step, tally in scored.by_step.items():
            rows.append(record(f"{prefix}probe_r2", tally.r2, **at, **({} if step is None else {"step": step})))
        if settings.closely and not target:
            measured = {
                "probe_r2_unweighted": scored.distinct.r2,
                "probe_rmse": scored.by_step[None].rmse,
                "probe_kl": float(np.concatenate(scored.kls).mean()),
                "probe_codelength": codelengths[key],
            }
            if (key, "control_task") in tallies:
                by_heart = tallies[key, "control_task"].by_step[None].r2
                measured["probe_selectivity"] = scored.by_step[None].r2 - by_heart
            rows += [record(f"{prefix}{metric}", value, **at) for metric, value in measured.items()]
    return rows
