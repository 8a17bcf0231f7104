"""Geometry: how many directions activations and beliefs spread over, and whether the belief subspace stays the same.

It is compared across lengths beyond training, and with a model of another condition that began from the same weights.
"""

from functools import partial

from unamortized.evaluation.probes.activations import SITES, Activations, layers, read_activations
from unamortized.evaluation.probes.fitting import FittedProbe, fit_by_layer
from unamortized.evaluation.probes.ridge import moments, r2
from unamortized.evaluation.protocol import Rows, SampleSize, recorder
from unamortized.evaluation.subspaces import (
    Subspace,
    angle_between,
    belief_subspace,
    effective_dimension,
    random_subspace,
)
from unamortized.labels import joined
from unamortized.learning.runs import load_run, sibling
from unamortized.learning.specification import Run
from unamortized.models.device import device_of
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import apart, draw

LONGER = 2  # test lengths beyond training to compare with
AGAIN = "geometry again"  # name of a second draw of problems
AGAINST = "amortized"  # condition to compare with


Fits = dict[str, dict[str, FittedProbe]]  # by site and layer


def dimensions(run: Run, settings: SampleSize) -> Rows:
    """Measure the effective dimension of activations, and the share of their variance in the belief subspace."""
    n_steps, rows = run.task.steps.train[1], Rows()
    for site, seen in _read(run, n_steps, settings).items():
        record = partial(recorder(run, n_steps), count=settings.problems, site=site)
        for layer, fitted in fit_by_layer(seen).items():
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


def across_lengths(run: Run, settings: SampleSize) -> Rows:
    """Measure whether beliefs beyond the training lengths are held where they are within, by site, layer and n.

    ``probe_r2`` is of the probe fitted at the longest training length, on steps beyond it alone; the control
    ``refitted`` is fitted there, too: is the belief held elsewhere, or nowhere?
    """
    trained, rows = run.task.steps.train[1], Rows()
    own, refit = _fit(run, trained, settings), _fit(run, trained, settings, AGAIN)
    for n_steps in [n for n in run.task.steps.test if n > trained][:LONGER]:
        there = _fit(run, n_steps, settings)
        record = partial(recorder(run, n_steps), "probe_r2", count=settings.problems)
        for site, seen in _read(run, n_steps, settings, split="test").items():
            for control, fits in (("", own), ("refitted", there)):
                for layer, features in seen.features.items():
                    score = r2(seen.beliefs, fits[site][layer].probe.read(features))
                    rows.append(record(score, site=site, layer=layer, control=control))
        rows += _angles(run, settings, n_steps, own, there, refit)
    return rows


def between_conditions(run: Run, settings: SampleSize) -> Rows:
    """Measure the angle between the belief subspaces of this run and of the same seed's run of another condition.

    Both began from the same weights, so that their activations can be compared direction by direction.

    Raises:
        ValueError: if there is no such run.
    """
    other = load_run(sibling(run.spec, AGAINST, run.folder.parent.parent), device=device_of(run.model))
    n_steps = run.task.steps.train[1]
    own, theirs = (_fit(each, n_steps, settings) for each in (run, other))
    return _angles(run, settings, n_steps, own, theirs, _fit(run, n_steps, settings, AGAIN), AGAINST)


def _read(
    run: Run, n_steps: int, settings: SampleSize, name: str = "geometry", split: str = "validation"
) -> dict[str, Activations]:
    """Read activations by site; of a length beyond training, only the steps beyond it."""
    problems = apart(run.task, draw(run.task, split, n_steps, settings.problems, run.spec.seed, name), split)
    trained, beyond = run.task.steps.train[1], {}
    for site, seen in read_activations(run, problems).items():
        kept = seen.steps > (trained if n_steps > trained else 0)
        features = {layer: seen.features[layer][:, kept] for layer in layers(run)}
        beyond[site] = Activations(features, seen.beliefs[:, kept], seen.steps[kept])
    return beyond


def _fit(run: Run, n_steps: int, settings: SampleSize, name: str = "geometry") -> Fits:
    return {site: fit_by_layer(seen) for site, seen in _read(run, n_steps, settings, name).items()}


def _angles(
    run: Run, settings: SampleSize, n_steps: int, own: Fits, others: Fits, refit: Fits, against: str = ""
) -> Rows:
    """Measure mean principal angles of subspaces to others, to refitted ones, and to random matches of the others."""
    record, rows = partial(recorder(run, n_steps), "subspace_angle", count=settings.problems), Rows()
    for site in SITES:
        for layer, fitted in own[site].items():
            other = others[site][layer]
            subspaces = {"": belief_subspace(other), "refit": belief_subspace(refit[site][layer])}
            subspaces["random_subspace"] = _random(run, site, layer, other)
            for name, subspace in subspaces.items():
                angle = angle_between(belief_subspace(fitted).along, subspace.along)
                rows.append(record(angle, site=site, layer=layer, control=joined(against, name)))
    return rows


def _random(run: Run, site: str, layer: str, fitted: FittedProbe) -> Subspace:
    generator = stream("random_subspace", run.task.fingerprint(), run.spec.seed, site, layer)
    return random_subspace(belief_subspace(fitted), fitted.moments.covariance, generator)
