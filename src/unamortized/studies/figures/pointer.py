"""Layouts side by side: how far answers reach under each position scheme, and which errors of the trace grow."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unamortized.studies.figures.curves import FLOOR, length_axis, log_kl_axis
from unamortized.studies.figures.style import (
    Tables,
    color,
    curve,
    in_order,
    is_baseline,
    legend_below,
    longest_trained,
    look,
    over_seeds,
    rows_of,
    styled,
)

SCHEMES = {
    "alibi": "ALiBi",
    "rotary": "rotary",
    "none": "no positions",
    "learned": "learned",
    "randomized": "randomized",
}
DASHES: dict[str, Any] = {"coupled": "-", "plain": (0, (3, 1.4)), "": "-"}  # by ids
EXCHANGED, CODES_ONLY = "exchanged_codes", "codes_only"
BAR = 0.38  # width, in steps of the axis


class Place(NamedTuple):
    """What the name of a condition says: ``cot@rotary_plain/exchanged_codes``."""

    trained: str
    scheme: str
    ids: str  # empty without positions, which ids do not reach
    control: str


def place(name: str) -> Place:
    """A condition's name taken apart."""
    name, _, control = name.partition("/")
    condition, _, variant = name.partition("@")
    scheme, _, ids = variant.partition("_")
    return Place(condition, scheme, ids, control)


def _placed(tables: Tables, *metrics: str) -> pd.DataFrame:
    """The rows of some metrics whose condition names a scheme, with the parts of that name as columns."""
    rows = rows_of(tables.metrics, *metrics)
    if rows.empty:
        return rows
    parts = pd.DataFrame([place(name) for name in rows["condition"]], index=rows.index)
    has_layout = parts["scheme"].isin(SCHEMES) & (parts["trained"] != "gru")
    return pd.concat([rows, parts], axis=1)[has_layout]


@styled
def kl_by_scheme(tables: Tables) -> Figure | None:
    """KL from the exact posterior to the answer by length: a panel a position scheme, solid coupled, dashed plain."""
    rows = _placed(tables, "answer_kl")
    if rows.empty:
        return None
    schemes = [scheme for scheme in SCHEMES if (rows["scheme"] == scheme).any()]
    names = in_order(rows["trained"])
    figure = Figure(figsize=(max(8.8, 2.5 * len(schemes) + 0.6), 4.5))
    panels = figure.subplots(1, len(schemes), sharey=True, squeeze=False)[0]
    task = str(rows["task"].iloc[0])
    answers = rows_of(tables.metrics, "answer_kl")
    # what has no layout to choose: baselines, and the recurrent net, trained once for all
    beside = in_order(name for name in answers["condition"] if is_baseline(name) or name.partition("@")[0] == "gru")
    for axes, scheme in zip(panels, schemes, strict=True):
        own = rows[rows["scheme"] == scheme]
        for name in names:
            for ids, dashes in DASHES.items():
                points = own[(own["trained"] == name) & (own["ids"] == ids)]
                if len(points):
                    line: dict[str, Any] = look(name) | {"linestyle": dashes}
                    curve(axes, points, "n_steps", floor=FLOOR, **line)
        for name in beside:
            points = answers[answers["condition"] == name]
            curve(axes, points, "n_steps", floor=FLOOR, band=not is_baseline(name), **look(name))
        length_axis(axes, rows["n_steps"].unique().tolist(), longest_trained(tables.metrics, task))
        axes.set_title(SCHEMES[scheme])
    log_kl_axis(panels[0])
    bottom = max(panels[0].get_ylim()[0], 0.6 * float(rows["value"].min()))  # of models, not baselines
    panels[0].set_ylim(bottom, 2 * float(rows["value"].max()))
    panels[0].set_ylabel("KL(exact ‖ answer)  [nats]")
    figure.suptitle(f"{task}: how far do answers reach under each layout?  (lower is better)", x=0.01, ha="left")
    handles = [Line2D([], [], label=name, **look(name)) for name in names]
    handles += [
        Line2D([], [], color="#555555", linestyle=DASHES[ids], label=f"{ids} ids")
        for ids in ("coupled", "plain")
        if (rows["ids"] == ids).any()
    ]
    highest = answers.groupby("condition")["value"].max()
    seen = [name for name in beside if highest[name] > bottom]
    handles += [Line2D([], [], label=name.partition("@")[0], **look(name)) for name in seen]
    legend_below(figure, handles, columns=7)
    return figure


@styled
def pointer_errors(tables: Tables) -> Figure | None:
    """Share of wrong steps by length, split into pointer and update errors: a row a trace, a column a scheme."""
    rows = _placed(tables, "pointer_error", "update_error", "pointer_share")
    if rows.empty:
        return None
    schemes = [scheme for scheme in SCHEMES if (rows["scheme"] == scheme).any()]
    names = in_order(rows["trained"])
    lengths = sorted(int(n) for n in rows["n_steps"].unique())
    figure = Figure(figsize=(max(8.8, 2.5 * len(schemes) + 0.9), 1.9 * len(names) + 1.5))
    panels = figure.subplots(len(names), len(schemes), sharex=True, sharey=True, squeeze=False)
    for line_of_panels, name in zip(panels, names, strict=True):
        for axes, scheme in zip(line_of_panels, schemes, strict=True):
            own = rows[(rows["trained"] == name) & (rows["scheme"] == scheme)]
            axes.set_visible(len(own) > 0)
            present = [ids for ids in DASHES if (own["ids"] == ids).any()]
            for number, ids in enumerate(present):
                shift = BAR * (number - (len(present) - 1) / 2)
                _stack(axes, own[own["ids"] == ids], lengths, shift, color(name), ids)
            axes.set_title(SCHEMES[scheme] if len(names) == 1 else f"{name}, {SCHEMES[scheme]}")
            axes.set_xticks(range(len(lengths)), [f"{n}" for n in lengths])
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("observations n  [steps]")
        line_of_panels[0].set_ylabel("steps  [fraction]")
    panels[0, 0].set_ylim(0, 1)
    figure.suptitle("Wrong steps of the trace: the wrong observation, or a wrong update?", x=0.01, ha="left")
    gray: dict[str, Any] = {"facecolor": "#777777", "edgecolor": "#444444", "linewidth": 0.6}
    pale: dict[str, Any] = gray | {"alpha": 0.3}
    legend_below(
        figure,
        [
            Patch(label="pointer error", **gray),
            Patch(label="update error", **pale),
            Patch(label="plain ids (hatched)", hatch="////", facecolor="white", edgecolor="#444444", linewidth=0.6),
            Line2D([], [], color="black", ls="", marker="_", ms=9, mew=1.6, label="pointer errors by chance"),
        ],
    )
    return figure


def _stack(axes: Axes, rows: pd.DataFrame, lengths: list[int], shift: float, shade: str, ids: str) -> None:
    """Pointer errors with their interval, update errors on top, and what chance would make of as many wrong steps."""
    where = np.arange(len(lengths)) + shift
    own = rows[rows["control"] == ""]
    means = {}
    for metric in ("pointer_error", "update_error"):
        summary = over_seeds(own[own["metric"] == metric], "n_steps").reindex(lengths)
        means[metric] = summary["mean"].to_numpy(dtype=float)
        bottom = means["pointer_error"] if metric == "update_error" else np.zeros(len(lengths))
        bars: dict[str, Any] = {"color": shade, "edgecolor": "#444444", "linewidth": 0.6}
        if metric == "update_error":
            bars["alpha"] = 0.3
        axes.bar(where, means[metric], BAR * 0.92, bottom=bottom, hatch="////" if ids == "plain" else None, **bars)
        if metric == "pointer_error":
            axes.vlines(where, summary["low"].clip(lower=0), summary["high"], color="#222222", linewidth=1, zorder=4)
    chance = rows[(rows["control"] == EXCHANGED) & (rows["metric"] == "pointer_share")]
    if len(chance) and not (rows["control"] == CODES_ONLY).any():  # what is read off the trace owes nothing to chance
        expected = over_seeds(chance, "n_steps").reindex(lengths)["mean"].to_numpy(dtype=float)
        axes.plot(where, expected * sum(means.values()), "_", color="black", ms=9, mew=1.6, zorder=5)
