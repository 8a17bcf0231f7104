"""Geometry: how many directions activations and beliefs spread over, and whether the belief subspace stays the same.

It is compared across lengths beyond training, and with a model of another condition that began from the same weights.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from unamortized.evaluation.probes import (
    SITES,
    Activations,
    FittedProbe,
    fit_by_layer,
    layers,
    moments,
    r2,
    read_activations,
)
from unamortized.evaluation.protocol import Rows, split_of
from unamortized.evaluation.rows import row
from unamortized.evaluation.subspaces import (
    Subspace,
    angle_between,
    belief_subspace,
    effective_dimension,
    random_subspace,
)
from unamortized.labels import joined
from unamortized.learning.runs import Run, load_run, sibling
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import apart, draw

LONGER = 2  # test lengths beyond training to compare with


@dataclass(frozen=True)
class Geometry:
    """How many problems, and the condition to compare with."""

    problems: int = 512
    against: str = "amortized"  # its model of the same seed


def dimensions(run: Run, settings: Geometry) -> Rows:
    """Measure the effective dimension of activations, and the share of their variance that is of the belief.

    The control ``exact_belief`` is the effective dimension of the exact beliefs; ``random_subspace``, the variance of
    the random subspaces that other evaluations match with the belief's.
    """
    n_steps, rows = run.task.steps.train[1], Rows()
    for site, seen in _read(run, n_steps, settings).items():
        record = partial(_record, run, site, n_steps, settings.problems)
        for layer, fitted in fit_by_layer(seen).items():
            if layer in layers(run):
                covariance = fitted.moments.covariance
                belief, random = belief_subspace(fitted), _random(run, site, layer, fitted)
                rows += [
                    record("effective_dimension", effective_dimension(covariance), layer=layer),
                    record("belief_variance", belief.variance(covariance), layer=layer),
                    record("belief_variance", random.variance(covariance), layer=layer, control="random_subspace"),
                ]
        exact = effective_dimension(moments(seen.beliefs, seen.beliefs).covariance)
        rows.append(record("effective_dimension", exact, control="exact_belief"))
    return rows


def across_lengths(run: Run, settings: Geometry) -> Rows:
    """Measure whether beliefs beyond the training lengths are held where they are within, by site, layer and n.

    ``probe_r2`` of the probe fitted at the longest training length, on steps beyond it alone; the control ``refitted``
    is fitted there, too: is the belief held elsewhere, or nowhere? ``subspace_angle`` between their subspaces; the
    controls are the least angle to expect (``refit``) and chance (``random_subspace``).
    """
    trained, rows = run.task.steps.train[1], Rows()
    home, again = (_read(run, trained, settings, name) for name in ("geometry", "geometry again"))
    own, refit = ({site: fit_by_layer(seen[site]) for site in SITES} for seen in (home, again))
    for n_steps in [n for n in run.task.steps.test if n > trained][:LONGER]:
        there, scored = _read(run, n_steps, settings), _read(run, n_steps, settings, split="test")
        for site in SITES:
            elsewhere = fit_by_layer(there[site])
            record = partial(_record, run, site, n_steps, settings.problems)
            for layer in layers(run):
                for control, probes in (("", own[site]), ("refitted", elsewhere)):
                    readings = probes[layer].probe.read(scored[site].features[layer])
                    score = r2(scored[site].beliefs, readings)
                    rows.append(record("probe_r2", score, layer=layer, control=control))
                others = {"": elsewhere[layer], "refit": refit[site][layer]}
                for control, angle in _angles(run, site, layer, own[site][layer], others).items():
                    rows.append(record("subspace_angle", angle, layer=layer, control=control))
    return rows


def between_conditions(run: Run, settings: Geometry) -> Rows:
    """Measure the angle between the belief subspaces of this run and of the same seed's run of another condition.

    Both began from the same weights, so that their activations can be compared direction by direction. The control is
    the other condition's name, followed by ``refit`` for the least angle to expect and by ``random_subspace`` for
    chance.

    Raises:
        ValueError: if there is no such run.
    """
    other = load_run(sibling(run.spec, settings.against, run.folder.parent.parent))
    n_steps, rows = run.task.steps.train[1], Rows()
    own, again = (_read(run, n_steps, settings, name) for name in ("geometry", "geometry again"))
    theirs = _read(other, n_steps, settings)
    for site in SITES:
        fits, refits, other_fits = (fit_by_layer(seen[site]) for seen in (own, again, theirs))
        for layer in layers(run):
            others = {"": other_fits[layer], "refit": refits[layer]}
            for name, angle in _angles(run, site, layer, fits[layer], others).items():
                control = joined(settings.against, name)
                record = partial(_record, run, site, n_steps, settings.problems)
                rows.append(record("subspace_angle", angle, layer=layer, control=control))
    return rows


def _read(
    run: Run, n_steps: int, settings: Geometry, name: str = "geometry", split: str = "validation"
) -> dict[str, Activations]:
    """Read activations by site; of a length beyond training, only the steps beyond it."""
    problems = apart(run.task, draw(run.task, split, n_steps, settings.problems, run.spec.seed, name), split)
    trained, beyond = run.task.steps.train[1], {}
    for site, seen in read_activations(run, problems).items():
        kept = seen.steps > (trained if n_steps > trained else 0)
        features = {layer: values[:, kept] for layer, values in seen.features.items()}
        beyond[site] = Activations(features, seen.beliefs[:, kept], seen.steps[kept])
    return beyond


def _angles(run: Run, site: str, layer: str, own: FittedProbe, others: dict[str, FittedProbe]) -> dict[str, float]:
    """Return the mean principal angles to other subspaces, and to a random one that matches the first of them."""
    subspaces = {name: belief_subspace(fitted) for name, fitted in others.items()}
    subspaces["random_subspace"] = _random(run, site, layer, others[""])
    along = belief_subspace(own).along
    return {name: angle_between(along, subspace.along) for name, subspace in subspaces.items()}


def _random(run: Run, site: str, layer: str, fitted: FittedProbe) -> Subspace:
    generator = stream("random_subspace", run.task.fingerprint(), run.spec.seed, site, layer)
    return random_subspace(belief_subspace(fitted), fitted.moments.covariance, generator)


def _record(run: Run, site: str, n_steps: int, count: int, metric: str, value: float, **where: Any) -> dict[str, Any]:
    split = split_of(run.task, n_steps)
    where |= {"n_steps": n_steps, "site": site}
    return row(run.task.name, run.spec.condition, run.spec.seed, split, metric, value, count, **where)
