"""Geometry: how many directions activations and beliefs spread over, which these are, and whether they stay the same.

Elsewhere is at lengths beyond training, and in the model of another condition that began from the same weights.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from unamortized.evaluation.probes import (
    SITES,
    Read,
    apply,
    layers,
    listen,
    moments,
    r2,
    read,
)
from unamortized.evaluation.protocol import Rows, split_of
from unamortized.evaluation.rows import row
from unamortized.evaluation.subspaces import (
    FittedSubspace,
    Subspace,
    angle_between,
    effective_dimension,
    fitted,
    random_subspace,
)
from unamortized.learning.runs import Run, load_run, sibling
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import apart, draw

LONGER = 2  # test lengths beyond training that are looked at


@dataclass(frozen=True)
class Geometry:
    """How much is evaluated."""

    problems: int = 512
    ridge: float = 1.0
    against: str = "amortized"  # the condition whose model of the same seed is compared with


def _fitted(seen: Read, layer: str, settings: Geometry) -> FittedSubspace:
    return fitted(moments(seen.features[layer], seen.beliefs), settings.ridge)


def _reads(
    run: Run, n_steps: int, settings: Geometry, site: str, name: str = "geometry", split: str = "validation"
) -> Read:
    """Activations of some problems; of steps beyond training alone, where their length is beyond it."""
    problems = apart(run.task, draw(run.task, split, n_steps, settings.problems, run.spec.seed, name), split)
    seen = read(run, problems, listen(run, problems), site)
    kept = seen.steps > (run.task.steps.train[1] if n_steps > run.task.steps.train[1] else 0)
    features = {layer: values[:, kept] for layer, values in seen.features.items()}
    return Read(features, seen.beliefs[:, kept], seen.steps[kept])


def dimensions(run: Run, settings: Geometry) -> Rows:
    """Effective dimension of activations by site and layer, and the share of their variance that is of the belief.

    Under ``<condition>/exact_belief``, the effective dimension of the exact beliefs themselves; under
    ``/random_subspace``, the variance that the random subspaces of other evaluations reach, which are to match it.
    """
    n_steps, rows = run.task.steps.train[1], Rows()
    for site in SITES:
        seen = _reads(run, n_steps, settings, site)
        record = partial(_row, run, site, n_steps, settings.problems)
        for layer in layers(run):
            found = _fitted(seen, layer, settings)
            covariance = found.moments.covariance
            rows += [
                record("", "effective_dimension", effective_dimension(covariance), layer=layer),
                record("", "belief_variance", found.subspace.variance(covariance), layer=layer),
                record(
                    "random_subspace",
                    "belief_variance",
                    _random(run, site, layer, found).variance(covariance),
                    layer=layer,
                ),
            ]
        beliefs = moments(seen.beliefs, seen.beliefs).covariance
        rows.append(record("exact_belief", "effective_dimension", effective_dimension(beliefs)))
    return rows


def across_lengths(run: Run, settings: Geometry) -> Rows:
    """Whether beliefs beyond the training lengths lie where they lie within, by site, layer and n.

    ``probe_r2`` of the probe that was fitted at the longest training length, on steps beyond it alone; under
    ``/refitted`` of one that was fitted there, too: is the belief elsewhere, or nowhere? ``subspace_angle`` between
    their subspaces, beside how near they could be (``/refit``) and would be by chance (``/random_subspace``).
    """
    trained, rows = run.task.steps.train[1], Rows()
    for site in SITES:
        home, again = (_reads(run, trained, settings, site, name) for name in ("geometry", "geometry again"))
        at_home = {layer: (_fitted(home, layer, settings), _fitted(again, layer, settings)) for layer in layers(run)}
        for n_steps in [n for n in run.task.steps.test if n > trained][:LONGER]:
            there = _reads(run, n_steps, settings, site)
            scored = _reads(run, n_steps, settings, site, split="test")
            record = partial(_row, run, site, n_steps, settings.problems)
            for layer, (own, refit) in at_home.items():
                elsewhere = _fitted(there, layer, settings)
                for name, probe in (("", own.probe), ("refitted", elsewhere.probe)):
                    score = r2(scored.beliefs, apply(probe, scored.features[layer]))
                    rows.append(record(name, "probe_r2", score, layer=layer))
                for name, angle in _angles(run, site, layer, own, {"": elsewhere, "refit": refit}).items():
                    rows.append(record(name, "subspace_angle", angle, layer=layer))
    return rows


def between_conditions(run: Run, settings: Geometry) -> Rows:
    """The angle between the belief subspaces of this run and of the same seed's run of another condition.

    Both began from the same weights, so that their activations can be compared direction by direction.
    ``subspace_angle`` under ``<condition>/<other>``, and beside it under ``/<other>_refit`` how near they could be and
    ``/<other>_random_subspace`` would be by chance.

    Raises:
        ValueError: if there is no such run.
    """
    other = load_run(sibling(run.spec, settings.against, run.folder.parent.parent))
    n_steps, rows = run.task.steps.train[1], Rows()
    for site in SITES:
        own, again = (_reads(run, n_steps, settings, site, name) for name in ("geometry", "geometry again"))
        theirs = _reads(other, n_steps, settings, site)
        for layer in layers(run):
            others = {"": _fitted(theirs, layer, settings), "refit": _fitted(again, layer, settings)}
            for name, angle in _angles(run, site, layer, _fitted(own, layer, settings), others).items():
                beside = "_".join(part for part in (settings.against, name) if part)
                rows.append(_row(run, site, n_steps, settings.problems, beside, "subspace_angle", angle, layer=layer))
    return rows


def _angles(
    run: Run, site: str, layer: str, own: FittedSubspace, others: dict[str, FittedSubspace]
) -> dict[str, float]:
    """Mean principal angles of a subspace with others; and, by chance, with what is as large where the first one is."""
    random = _random(run, site, layer, others[""])
    subspaces = {name: each.subspace for name, each in others.items()} | {"random_subspace": random}
    return {name: angle_between(own.subspace.along, each.along) for name, each in subspaces.items()}


def _random(run: Run, site: str, layer: str, like: FittedSubspace) -> Subspace:
    generator = stream("random_subspace", run.task.fingerprint(), run.spec.seed, site, layer)
    return random_subspace(like.subspace, like.moments.covariance, generator)


def _row(
    run: Run, site: str, n_steps: int, count: int, beside: str, metric: str, value: float, **where: Any
) -> dict[str, Any]:
    name = f"{run.spec.condition}/{beside}" if beside else run.spec.condition
    prefix = "question_" if site == "question" else ""
    split = split_of(run.task, n_steps)
    return row(run.task.name, name, run.spec.seed, split, prefix + metric, value, count, n_steps=n_steps, **where)
