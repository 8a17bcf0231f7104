"""Routes: the heads that fetch observation and last code, and the parts through which both reach the next code."""

import pandas as pd

from unamortized.labels import ALL_LAYERS, component
from unamortized.studies.figures.charts import Dots, Heat

GROUPS = {
    "observation": "$x_t$",
    "own": "itself\n($c_{t-1}$)",
    "last_code": "$c_{t-1}$",
    "earlier_codes": "earlier\ncodes",
    "earlier_observations": "earlier\n$x$",
    "later_observations": "later\n$x$",
    "marks": "marks",
    "random_columns": "another\n$x$",
}
PATHS = {
    "observation": "observation, any path",
    "observation_direct": "observation, direct",
    "last_code": "last code, any path",
    "last_code_direct": "last code, direct",
}


def name_parts(rows: pd.DataFrame) -> pd.DataFrame:
    """Add names of parts and columns, sort parts by order of computation, and drop layers as a whole."""

    def turn(layer: str) -> tuple[int, int]:
        part = component(layer)
        if part is None:
            return (-1, 0) if layer == "embed" else (10**6, 0)
        return part.layer, 10**6 if part.is_perceptron else part.head or 0

    found = {layer: component(layer) for layer in rows["layer"].unique()}
    parts = [layer for layer, part in found.items() if part is None or part.is_perceptron or part.head is not None]
    rank = {layer: place for place, layer in enumerate(sorted(parts, key=turn))}
    rows = rows[rows["layer"].isin(parts)]
    paths = zip(rows["site"], rows["metric"], strict=True)
    rows = rows.assign(
        rank=rows["layer"].map(rank).astype(int),
        part=rows["layer"].map(_part_name),
        columns=rows["site"].where(rows["control"] == "", rows["control"]),
        path=[site + "_direct" * (metric == "route_reliance_direct") for site, metric in paths],
    )
    return rows.sort_values("rank", kind="stable")


def _part_name(layer: str) -> str:
    part = component(layer)
    if part is None:
        return {"embed": "embedding", ALL_LAYERS: "all together"}.get(layer, layer)
    return f"layer {part.layer + 1}, " + ("MLP" if part.is_perceptron else f"head {(part.head or 0) + 1}")


ROUTES = (
    Heat(
        name="routes",
        title="Which heads fetch the observation, which the last code?",
        caption="Head 1 of layer 1 fetches the current observation: if it may not attend to it, the next code moves "
        "by half or more.",
        metrics=("route_tv",),
        where={"columns": tuple(GROUPS), "control": ("", "random_columns")},
        prepare=name_parts,
        names=GROUPS,
        x="columns",
        y="part",
        x_label="columns that the head may not attend to",
        label="movement of the next code  [TV]",
        columns=2,
        size=(3.9, 3.1),
    ),
    Dots(
        name="route_reliance",
        title="Through which part of the network do observation and last code pass?",
        caption="The observation enters through head 1 of layer 1, the last code through the embedding; both pass "
        "through the MLPs, and no head writes straight to the output.",
        metrics=("route_reliance", "route_reliance_direct"),
        where={"path": tuple(PATHS)},
        prepare=name_parts,
        names=PATHS,
        y="part",
        line="path",
        references=(0.0, 1.0),
        label="reliance of the belief about to be stated",
        columns=2,
        size=(3.7, 3.2),
    ),
)
