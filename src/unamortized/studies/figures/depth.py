"""Figures of the study of depth: right answers by length and layers, and the steps that each layer composes."""

import pandas as pd

from unamortized.labels import ABOUT_TO_STATE, QUESTION, display, layer_number, numbers
from unamortized.studies.figures.charts import Curves, Heat
from unamortized.studies.figures.style import look
from unamortized.studies.names import AMORTIZED, COT, WINDOW

SHADES = {1: "#F5B041", 2: "#E3743B", 3: "#C43C5A", 6: "#2E1A5B"}  # by layers, from shallow to deep
DOUBLING, ONE_MORE = "twice as many in each layer", "one more in each layer"
TRAINED = 8  # observations in the longest training question


def layers(n: int) -> str:
    """Return the name of a number of layers."""
    return "1 layer" if n == 1 else f"{n} layers"


WALKER = f"{layers(1)} with {display(COT)}"
MODELS = {layers(n): {"color": color} for n, color in SHADES.items()}


def with_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``model``: the number of layers, and CoT where there is a trace."""
    names = {AMORTIZED: "{}", COT: "{} with " + display(COT)}
    pairs = zip(rows["condition"], rows["variant"], strict=True)
    found = [
        names.get(name, display(name)).format(layers(int(numbers(variant).get("l", 0)))) for name, variant in pairs
    ]
    return rows.assign(model=found)


def composed_by_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the most steps composed up to each layer, at the end or along the path, beside both predictions."""
    model = ["task", "variant", "seed"]
    most = rows.sort_values("value").drop_duplicates([*model, "layer"], keep="last")
    most = most.assign(number=most["layer"].map(layer_number)).sort_values("number")
    most = with_model(most.assign(value=most.groupby(model)["value"].cummax()))
    deepest = most.drop_duplicates(["task", "number"]).assign(run="")
    predictions = {DOUBLING: 2.0 ** deepest["number"], ONE_MORE: 1.0 + deepest["number"]}
    return pd.concat(
        [most, *(deepest.assign(model=name, value=steps.clip(upper=TRAINED)) for name, steps in predictions.items())]
    )


FIGURES = (
    Curves(
        name="depth_accuracy",
        title="How long a question can a model answer, by its number of layers?",
        caption="Without a trace, more layers answer longer questions, but hardly any beyond the lengths seen in "
        "training; one layer with CoT goes far beyond them.",
        metrics=("map_agreement",),
        where={"condition": (AMORTIZED, COT, WINDOW), "variant": (), "model": (*MODELS, WALKER, display(WINDOW))},
        prepare=with_model,
        panel="task",
        line="model",
        styles=MODELS | {WALKER: look(COT), display(WINDOW): look(WINDOW) | {"marker": ""}},
        x="n_steps",
        limits=(-0.03, 1.15),
        size=(2.9, 2.8),
    ),
    Heat(
        name="depth_steps",
        title="Does each layer double the number of composed steps, or add one?",
        caption="The first layer composes two to four steps; most later layers add about one each or none, and the "
        "last of three or six layers in S5 composes all eight.",
        metrics=("composed_steps", "path_steps"),
        where={"condition": (AMORTIZED,), "variant": (), "model": (DOUBLING, ONE_MORE, *MODELS)},
        prepare=composed_by_layer,
        panel="task",
        x="layer",
        x_label="layer  (0: embedding)",
        y="model",
        names={str(layer): str(layer) for layer in range(7)},
        label="steps composed",
        range=(1.0, 8.0),
        size=(2.7, 1.9),
    ),
    Heat(
        name="depth_paths",
        title="After which layer does the token of observation k hold the belief after k steps?",
        caption="In a model of three layers, the first already holds the beliefs of two steps or three; later layers "
        "add one or two, and none holds all eight.",
        metrics=("path_r2",),
        where={"condition": (AMORTIZED,), "variant": ("l3",), "site": (QUESTION,)},
        panel="task",
        x="step",
        x_label="first k steps",
        y="layer",
        label="R² of the probe",
        size=(3.0, 1.6),
    ),
    Curves(
        name="depth_path_at_answer",
        title="Does the last of three layers keep the path until it answers?",
        caption="The last of three layers holds the belief half-way along the path (t = 4) largely at its own "
        "observation, but hardly at the answer.",
        metrics=("path_r2",),
        where={"condition": (AMORTIZED,), "variant": ("l3",), "layer": ("3",), "site": (QUESTION, ABOUT_TO_STATE)},
        names={QUESTION: "at observation t", ABOUT_TO_STATE: "at the answer"},
        panel="task",
        line="site",
        x="step",
        limits=(-0.1, 1.05),
        label="R² of the belief after t steps",
        size=(2.9, 2.4),
    ),
)
