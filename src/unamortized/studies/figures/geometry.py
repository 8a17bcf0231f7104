"""Figures of the geometry: beliefs in the residual stream, baselines of probes, and effects of moving a belief."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from unamortized.labels import (
    ABOUT_TO_STATE,
    ALL_LAYERS,
    CHOSEN_LAYER,
    QUESTION,
    display,
    layer_number,
    place,
)
from unamortized.studies.figures.charts import Curves, Dots, Picture
from unamortized.studies.figures.routes import ROUTES
from unamortized.studies.figures.simplex import Clouds, beliefs_of, draw_clouds, to_triangle
from unamortized.studies.figures.style import Tables
from unamortized.studies.names import AMORTIZED, COT, NEXT_TOKEN

LOWEST = -0.2  # a probe that reads worse is drawn here
SITES = {ABOUT_TO_STATE: "about to state", QUESTION: "in the question"}
PLACES = {  # the simplest first
    "mess3 (next)": "mess3, next symbol",
    "rrxor (next)": "rrxor, next symbol",
    "rrxor (next as published)": "rrxor, published shape",
    "mess3": "mess3",
    "noisy permutation": "noisy permutation",
}

# ── clouds of beliefs ────────────────────────────────────────────────────────────────────────────


def residual_simplex(tables: Tables) -> Figure | None:
    """Draw exact beliefs of one seed beside those that probes read from the first, the last and all layers."""
    rows = tables.examples
    rows = rows[(rows["site"] == QUESTION) & (rows["condition"] == NEXT_TOKEN)] if len(rows) else rows
    if rows.empty or not (rows["source"] == "exact").any():
        return None
    numbers = sorted({number for layer in rows["layer"].unique() if (number := layer_number(layer)) is not None})
    layers = [str(number) for number in dict.fromkeys((*numbers[:1], *numbers[-1:]))] + [ALL_LAYERS]
    lines = []
    for _, own in rows.groupby(["task", "world"], sort=False):
        task, world = own["task"].iloc[0], own["world"].iloc[0]
        own = own[own["seed"] == own["seed"].min()]
        exact = beliefs_of(own, "exact")
        onto, colors = _projection(exact.to_numpy())
        points = {"exact belief": onto(exact.to_numpy())}
        for layer in layers:
            read = beliefs_of(own[own["layer"] == layer], "probed")
            read = read.reindex(index=exact.index, columns=exact.columns, fill_value=0.0)
            points[_layer_title(layer, task, world, tables.metrics)] = onto(read.to_numpy())
        name = place(task, world)
        lines.append(Clouds(PLACES.get(name, name), points, colors, exact.shape[1] == 3))
    note = "; more than three states: two principal components"
    return draw_clouds(lines, "Does the residual stream hold the geometry of beliefs?", note)


def _layer_title(layer: str, task: str, world: str, metrics: pd.DataFrame) -> str:
    """Return the name of a layer with its R², averaged over seeds."""
    rows = metrics[(metrics["metric"] == "probe_r2") & (metrics["control"] == "") & (metrics["variant"] == "")]
    rows = rows[(rows["task"] == task) & (rows["world"] == world) & (rows["layer"] == layer) & rows["step"].isna()]
    rows = rows[(rows["site"] == QUESTION) & (rows["split"] == "in_distribution")]
    title = "all layers" if layer == ALL_LAYERS else f"layer {layer}"
    return f"{title}: R² {rows['value'].mean():.2f}" if len(rows) else title


def _projection(
    exact: Float[np.ndarray, "point state"],
) -> tuple[Callable[[np.ndarray], Float[np.ndarray, "point 2"]], Float[np.ndarray, "point 3"]]:
    """Return the map of beliefs to the plane, and a color for each exact belief."""
    if exact.shape[1] == 3:
        return to_triangle, exact.clip(0, 1)
    center = exact.mean(axis=0)
    _, _, axes = np.linalg.svd(exact - center, full_matrices=False)
    shades = (exact - center) @ axes[:3].T
    colors = 0.85 * (shades - shades.min(axis=0)) / np.ptp(shades, axis=0).clip(min=1e-12)  # white would be invisible
    return (lambda points: (points - center) @ axes[:2].T), colors


# ── rows of models and controls ─────────────────────────────────────────────────────────────────────


def with_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``model``, its place and condition, and sort the simplest first."""
    places = [place(*pair) for pair in zip(rows["task"], rows["world"], strict=True)]
    rank = [list(PLACES).index(each) if each in PLACES else len(PLACES) for each in places]
    names = [
        PLACES.get(each, each) + ("" if condition == NEXT_TOKEN else f", {display(condition)}")
        for each, condition in zip(places, rows["condition"], strict=True)
    ]
    return rows.assign(model=names, rank=rank).sort_values(["rank", "condition"], kind="stable")


def at_own_site(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the site at which each model needs the belief: in the question for the next symbol, else about to state."""
    return with_model(rows[(rows["site"] == QUESTION) == (rows["condition"] == NEXT_TOKEN)])


def from_all_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep R² of pooled steps from all layers or without a layer; models of the next symbol in the question only."""
    rows = rows[rows["step"].isna() & (rows["split"] == "in_distribution") & rows["layer"].isin((ALL_LAYERS, ""))]
    return with_model(rows[(rows["site"] == QUESTION) | (rows["condition"] != NEXT_TOKEN)])


def from_last_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep R² of each model's last layer, with steps pooled."""
    rows = at_own_site(rows[rows["step"].isna()])
    number = rows["layer"].map(layer_number)
    return rows[number == number.groupby(rows["model"]).transform("max")]


def share_of_unsteered(rows: pd.DataFrame) -> pd.DataFrame:
    """Divide each KL by that of the unsteered model, seed by seed; add ``model`` and ``kind`` of the change."""
    keys = ["task", "world", "condition", "seed"]
    rows = rows[(rows["layer"] == CHOSEN_LAYER) & (rows["site"] == ABOUT_TO_STATE) & rows["step"].isna()]
    unsteered = rows[rows["control"] == "unsteered"].set_index(keys)["value"].rename("unsteered")
    rows = rows.join(unsteered, on=keys)
    rows = rows.assign(
        value=rows["value"] / rows["unsteered"], kind=np.where(rows["control"].isin(CARRY), "belief", "control")
    )
    return with_model(rows)


# ── figures ──────────────────────────────────────────────────────────────────────────────────────

BASELINES = {  # controls that read the belief from less than the trained network
    "": "trained network",
    "untrained": "network before training",
    "in_sample": "trained, scored where fitted",
    "untrained+in_sample": "before, scored where fitted",
    "own_output": "its output alone",
    "last_statement": "last code and observation",
    "random_relu": "random features",
    "window_10": "last ten observations",
    "window_4_exact": "exact Bayes on the last four",
    "window_10_exact": "exact Bayes on the last ten",
}
TARGETS = {  # targets that the same probes read from the trained network
    "": "belief",
    "next_symbol": "next symbol",
    "constrained_belief": "constrained belief",
    "wrong_process": "a wrong process's belief",
    "belief_1_back": "belief one step ago",
    "belief_2_back": "belief two steps ago",
    "belief_4_back": "belief four steps ago",
    "control_task": "random labels of words",
    "shuffled_belief": "another problem's belief",
}
PROBES: dict[str, Any] = {
    "metrics": ("probe_r2",),
    "prepare": from_all_layers,
    "panel": "model",
    "y": "control",
    "line": "site",
    "floor": LOWEST,
    "limits": (LOWEST - 0.03, 1.03),
    "columns": 3,
}
MOVES = {
    "": "belief subspace, moved",
    "donor_subspace": "belief subspace, donor's",
    "donor_patch": "whole activation, donor's",
    "random_subspace": "random subspace, moved",
    "donor_random": "random subspace, donor's",
    "wrong_state": "moved to a wrong belief",
    "mean_patch": "mean activation",
}
CARRY = ("", "donor_subspace", "donor_patch")
ERASED = {
    "untouched": "nothing erased",
    "random_subspace": "random subspace erased",
    "": "belief subspace erased",
    "exact_loss": "exact Bayes without the belief",
}
FITS = {"amortized": "CoT and no trace", "amortized_refit": "two fits of one", "amortized_random_subspace": "random"}

FIGURES = (
    Picture(
        "residual_simplex",
        "A linear map of the residual stream reproduces the belief geometry of mess3 at every layer; that of rrxor "
        "only roughly, and best from all layers together.",
        residual_simplex,
    ),
    Curves(
        name="probe_training",
        title="When does the belief appear, and at which layer?",
        caption="On mess3 an untrained network holds most of the belief already; on rrxor it appears with training, "
        "and all layers together hold more of it than any one.",
        metrics=("probe_r2",),
        where={"condition": (NEXT_TOKEN,), "site": (QUESTION,), "control": ("",), "step": (None,)},
        names=PLACES,
        line="layer",
        x="variant.after",
        limits=(0.0, 1.03),
        size=(4.0, 2.9),
    ),
    Dots(
        name="probe_baselines",
        title="What reads the belief as well as the trained network?",
        caption="On mess3 nearly everything reads the belief; on rrxor training does, and so does exact Bayes on the "
        "last ten observations; where CoT is about to state a step, the last code and the observation read it best.",
        where={"control": tuple(BASELINES), "site": tuple(SITES)},
        names=SITES | {("control", name): label for name, label in BASELINES.items()},
        size=(2.5, 2.3),
        **PROBES,
    ),
    Dots(
        name="probe_targets",
        title="What else do the same probes read?",
        caption="Probes read other functions of the observations as well as the belief, or better: a high R² alone "
        "does not show that the model represents the belief.",
        where={"control": tuple(TARGETS), "site": tuple(SITES)},
        names=SITES | {("control", name): label for name, label in TARGETS.items()},
        size=(2.5, 2.4),
        **PROBES,
    ),
    Dots(
        name="steering",
        title="Does the answer follow a belief that is moved inside?",
        caption="Moving the activation within the belief subspace brings the answer most of the way to the "
        "counterfactual (0), but on rrxor not always; an equal move in a random subspace hardly helps.",
        metrics=("steered_kl",),
        where={"control": tuple(MOVES), "kind": ("belief", "control")},
        prepare=share_of_unsteered,
        names={"belief": "carries the other belief"} | {("control", each): label for each, label in MOVES.items()},
        panel="model",
        y="control",
        line="kind",
        styles={"control": {"color": "#8A8A8A"}},
        scale="linear",
        references=(0.0, 1.0),
        label="KL / KL with nothing changed",
        columns=3,
        size=(2.6, 2.0),
    ),
    Curves(
        name="steering_sites",
        title="Where does a model without a trace hold a belief that is used?",
        caption="The answer follows a belief that is moved where the model is about to state it; in the question, a "
        "move counts mainly at the embedding, where it amounts to exchanging an observation.",
        metrics=("steered_reliance",),
        where={
            "condition": (AMORTIZED,),
            "control": ("",),
            "site": (ABOUT_TO_STATE, QUESTION),
            "layer": ("0", "1", "2"),
        },
        names=SITES | PLACES | {("step", lag): f"lag {lag}" for lag in (0, 2, 4)},
        panel="site",
        row="place",
        line="step",
        x="layer",
        label="reliance  (1: as exact Bayes)",
        references=(0.0, 1.0),
        size=(3.5, 2.1),
    ),
    Dots(
        name="erasing",
        title="What does erasing the belief subspace cost the answer?",
        caption="With the belief subspace of layer 1 erased, CoT's answers on the noisy permutation are about as far "
        "from exact as those of exact Bayes without the belief; erasing a random subspace costs little.",
        metrics=("erased_kl",),
        where={
            "condition": (AMORTIZED, COT),
            "control": tuple(ERASED),
            "site": (ABOUT_TO_STATE,),
            "layer": ("1",),
            "step": (0,),
        },
        prepare=with_model,
        names={("control", name): label for name, label in ERASED.items()},
        panel="model",
        y="control",
        line="condition",
        scale="linear",
        limits=(0.0, None),
        label="KL(exact ‖ answer)  [nats]",
        columns=2,
        size=(3.4, 1.5),
    ),
    *ROUTES,
    Curves(
        name="probe_lengths",
        title="Do probes of the last layer keep reading at greater lengths?",
        caption="Where the answer is a belief, a probe fitted at the training length reads nearly as well at four "
        "times the length as one fitted there; the model of rrxor's next symbol loses the belief.",
        metrics=("probe_r2",),
        where={"control": ("", "refitted")},
        prepare=from_last_layer,
        names={("control", ""): "same probe", "refitted": "refitted"},
        panel="model",
        line="control",
        x="n_steps",
        limits=(0.0, 1.2),
        columns=3,
        size=(2.5, 2.0),
    ),
    Curves(
        name="subspace_angles",
        title="Do models with and without a trace share belief directions?",
        caption="Though both models start from the same weights, their belief subspaces are about as far apart as "
        "random ones.",
        metrics=("subspace_angle",),
        where={"control": tuple(FITS), "site": (ABOUT_TO_STATE,), "condition": (COT,)},
        names=FITS | PLACES,
        line="control",
        x="layer",
        limits=(0.0, 90.0),
        label="mean principal angle  [degrees]",
        size=(3.0, 2.6),
    ),
)
