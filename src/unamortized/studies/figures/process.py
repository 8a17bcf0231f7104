"""Pictures of a process: its states and what is emitted between them, and the beliefs that its words lead to."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from unamortized.studies.figures.simplex import outline, to_triangle
from unamortized.studies.figures.style import STYLE
from unamortized.worlds.mixed_states import Level, pooled
from unamortized.worlds.processes import Process

MOST_STATES = 12  # with more, or with more labels than can be read, a heat map
MOST_LABELS = 64
LEAST = 0.01  # transitions less probable are left out of the graph, and counted
NODE, LOOP, MARGIN = 0.13, 0.11, 0.62  # radii and room, where the states lie on a circle of radius 1
WORD = (0.26, 0.09)  # width and height of a label there
FEW = 100  # beliefs that a reader could count
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#6B2350")
INK = "#333333"

Arguments = ParamSpec("Arguments")


def _styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    @wraps(draw)
    def drawn(*arguments: Arguments.args, **named: Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **named)

    return drawn


# ── states and transitions ───────────────────────────────────────────────────────────────────────


@_styled
def process_graph(process: Process, title: str = "") -> Figure:
    """States on a circle, an arrow from each to the next, labeled symbol: probability, both of them in one step.

    Where that cannot be read, a heat map of the matrices summed over symbols; where they are no probabilities
    (generalized processes), one for each symbol.
    """
    shown = process.transitions >= LEAST
    if process.is_generalized or process.n_states > MOST_STATES or shown.sum() > MOST_LABELS:
        return _heat_map(process, title)
    first = np.pi if process.n_states == 2 else np.pi / 2  # two lie side by side
    angles = first - 2 * np.pi * np.arange(process.n_states) / process.n_states
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    width, height = np.ptp(places, axis=0) + 2 * MARGIN
    scale = 1.9 + 0.12 * process.n_states  # inches
    figure = Figure(figsize=(max(5.0, scale * width), scale * height + 0.6))
    axes = figure.subplots()
    written: list[np.ndarray] = []  # where labels are
    for i, j in np.argwhere(shown.any(axis=0)).tolist():
        symbols = np.flatnonzero(shown[:, i, j]).tolist()
        labels = "\n".join(f"{process.symbol_names[x]}: {_short(process.transitions[x, i, j])}" for x in symbols)
        likeliest = int(process.transitions[:, i, j].argmax())
        color = COLORS[likeliest] if process.n_symbols <= len(COLORS) else "#8A8A8A"
        if i == j:
            _loop(axes, places[i], labels, color)
        else:
            written.append(_arrow(axes, places[i], places[j], labels, color, written))
    for name, (x, y) in zip(process.state_names, places, strict=True):
        axes.add_patch(Circle((x, y), NODE, facecolor="#F7F5EF", edgecolor=INK, linewidth=1.2, zorder=4))
        axes.text(x, y, name, ha="center", va="center", fontsize=min(10.5, 42 / len(name)), zorder=5)
    axes.set_aspect("equal")
    (left, bottom), (right, top) = places.min(axis=0) - MARGIN, places.max(axis=0) + MARGIN
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    axes.set_title(title)
    says = "symbol: probability to emit it and follow the arrow; color: the likeliest symbol"
    left_out = process.transitions[~shown & (process.transitions > 0)]
    if left_out.size:
        says += f"\nleft out: {left_out.size} transitions of at most {left_out.max():.2g}"
    figure.supxlabel(says, fontsize=8.5, color="#555555")
    return figure


def _short(probability: float) -> str:
    """At most three digits, without the zero before the point."""
    return f"{probability:.3f}".rstrip("0").rstrip(".").removeprefix("0")


def _arrow(
    axes: Axes, start: np.ndarray, end: np.ndarray, labels: str, color: str, written: Sequence[np.ndarray]
) -> np.ndarray:
    """Bent to its left, so that the two directions lie apart; labeled where there is most room, which is returned."""
    along = end - start
    control = (start + end) / 2 + 0.14 * np.array([-along[1], along[0]])
    t = np.linspace(0, 1, 201)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    outside = np.linalg.norm(curve - start, axis=1) > NODE
    outside &= np.linalg.norm(curve - end, axis=1) > NODE + 0.01
    _draw(axes, curve[outside], color)
    candidates = curve[[56, 64, 72, 80, 90, 110, 124]]  # rather near to where it starts
    far = np.array(WORD)  # how far apart labels must be not to touch
    apart = [min((np.abs((other - place) / far).max() for other in written), default=1.0) for place in candidates]
    place = candidates[int(np.argmax(np.minimum(apart, 1.0)))]
    _label(axes, place, labels)
    return place


def _loop(axes: Axes, place: np.ndarray, labels: str, color: str) -> None:
    """An arrow from a state to itself, on the outside, its label beyond it."""
    outward = place / np.linalg.norm(place)
    across = np.array([outward[1], -outward[0]])
    turn = np.linspace(-0.82 * np.pi, 0.79 * np.pi, 101)[:, None]
    center = place + (NODE + 0.75 * LOOP) * outward
    _draw(axes, center + LOOP * (np.cos(turn) * outward + np.sin(turn) * across), color)
    ha = "left" if outward[0] > 0.4 else "right" if outward[0] < -0.4 else "center"
    va = "center" if abs(outward[1]) < 0.4 else "bottom" if outward[1] > 0 else "top"
    _label(axes, center + (LOOP + 0.03) * outward, labels, ha=ha, va=va)


def _draw(axes: Axes, curve: np.ndarray, color: str) -> None:
    """A line through these points, with a head at its end."""
    axes.plot(*curve[:-4].T, color=color, linewidth=1.2, solid_capstyle="butt", zorder=2)
    head = {"arrowstyle": "-|>,head_length=0.5,head_width=0.22", "color": color, "linewidth": 0.8}
    head |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 14}
    axes.annotate("", tuple(curve[-1]), tuple(curve[-5]), arrowprops=head, zorder=2)


def _label(axes: Axes, place: np.ndarray, labels: str, ha: str = "center", va: str = "center") -> None:
    box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.88}
    x, y = place.tolist()
    axes.text(x, y, labels, fontsize=7.5, color=INK, linespacing=1.15, zorder=3, bbox=box, ha=ha, va=va)


def _heat_map(process: Process, title: str) -> Figure:
    """From row to column."""
    n_states = process.n_states
    if process.is_generalized:
        matrices, titles = process.transitions, [f"symbol {name}" for name in process.symbol_names]
        cmap, what = "RdBu_r", "entry of the symbol's matrix"
    else:
        matrices, titles = process.state_transitions[None], [""]
        cmap, what = "Grays", "probability of the move, whatever is emitted"
    largest = float(np.abs(matrices).max())
    columns = min(len(matrices), 4)
    rows = -(-len(matrices) // columns)
    figure = Figure(figsize=(5.6 if columns == 1 else 1.2 + 2.6 * columns, 5.0 if columns == 1 else 0.8 + 2.6 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    every = list(range(n_states) if n_states <= 24 else range(0, n_states, -(-n_states // 12)))
    names = [process.state_names[state] for state in every]
    turned = 90 if max(map(len, names)) > 2 else 0
    image = None
    for axes, matrix, says in zip(panels, matrices, titles, strict=False):
        image = axes.imshow(
            *(matrix, cmap), vmin=-largest if process.is_generalized else 0, vmax=largest, interpolation="none"
        )
        axes.set_xticks(every, names, fontsize=7.5, rotation=turned)
        axes.set_yticks(every, names, fontsize=7.5)
        axes.set_title(says, loc="center", fontsize=9)
    for axes in panels[len(matrices) :]:
        axes.set_axis_off()
    figure.supxlabel("next state" if columns == 1 else "to entry", fontsize=9.5)
    figure.supylabel("state" if columns == 1 else "from entry", fontsize=9.5)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
    if image is not None:
        figure.colorbar(image, ax=panels.tolist(), shrink=0.8, label=what)
    return figure


# ── mixed states ─────────────────────────────────────────────────────────────────────────────────


@_styled
def mixed_states(process: Process, levels: Sequence[Level], title: str = "") -> Figure:
    """The beliefs after all words up to a length, in the plane; a point's area is how probable the belief is.

    Three states are the corners of a triangle, mixed from red, green and blue as their probabilities. Elsewhere
    the plane is that of the first two principal components, and color tells the likeliest state or, where vectors
    are distributions over no states, the likeliest next symbol.
    """
    weight, beliefs, dropped = pooled(levels)
    order = np.argsort(-weight, kind="stable")  # the improbable lie on top: they are small
    weight, beliefs = weight[order], beliefs[order]
    figure = Figure(figsize=(6.2, 5.2))
    axes = figure.subplots()
    if process.n_states == 3 and not process.is_generalized:
        outline(axes, process.state_names)
        points, colors = to_triangle(beliefs), to_rgba_array(beliefs.clip(0, 1))
    else:
        points, (x_says, y_says) = _plane(process, weight, beliefs)
        colors = _likeliest(axes, process, beliefs)
        axes.set_xlabel(x_says)
        axes.set_ylabel(y_says)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.12)
    area = np.clip(1500 * weight, 0.7, 420)
    colors[:, 3] = np.clip(0.25 + 40 * weight, 0.35, 0.9)
    axes.scatter(*points.T, c=colors, s=area, linewidths=0, rasterized=True, zorder=2)
    axes.set_title(title)
    says = f"beliefs after all words of up to {len(levels) - 1} symbols; area: probability"
    distinct, seen = (len(np.unique(np.round(each, 6), axis=0)) for each in (beliefs, points))
    if seen < distinct <= FEW:
        says += f"\nthe {distinct} beliefs lie on {seen} points of this plane"
    if dropped > 0:
        says += f"\nleft out: improbable words, of together {dropped:.2g} probability"
    figure.supxlabel(says, fontsize=8.5, color="#555555")
    return figure


def _plane(
    process: Process, weight: np.ndarray, beliefs: np.ndarray
) -> tuple[Float[np.ndarray, "point 2"], tuple[str, str]]:
    """Two coordinates of each belief, and what they are."""
    if process.readout is not None and process.n_states == 3:
        varying = np.argsort(-(weight @ (beliefs - weight @ beliefs / weight.sum()) ** 2), kind="stable")[:2]
        shown = sorted(varying.tolist())
        one, two = (f"entry {process.state_names[entry]}" for entry in shown)
        return beliefs[:, shown], (one, two)
    mean = weight @ beliefs / weight.sum()
    covariance = (weight[:, None] * (beliefs - mean)).T @ (beliefs - mean) / weight.sum()
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = (beliefs - mean) @ (axes * signs)
    shares = values[::-1][:2].clip(min=0) / max(values.clip(min=0).sum(), 1e-300)
    if points.shape[1] < 2:
        points, shares = np.pad(points, ((0, 0), (0, 1))), np.pad(shares, (0, 1))
    one, two = (f"principal component {n} ({share:.0%} of the variance)" for n, share in enumerate(shares, 1))
    return points, (one, two)


def _likeliest(axes: Axes, process: Process, beliefs: np.ndarray) -> np.ndarray:
    """A color for each belief, and a legend where there are few of them."""
    names = process.symbol_names if process.is_generalized else process.state_names
    what = "next symbol" if process.is_generalized else "state"
    values = beliefs @ process.emissions if process.is_generalized else beliefs
    top = np.round(values, 9).argmax(axis=1)  # rounded: ties stay ties, and go to the first
    if len(names) > len(COLORS):
        return np.tile(to_rgba_array(COLORS[1]), (len(beliefs), 1))
    handles = [
        Line2D([], [], linestyle="", marker="o", color=COLORS[number], label=names[number])
        for number in np.unique(top).tolist()
    ]
    title = f"likeliest\n{what}"
    axes.legend(handles=handles, title=title, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return to_rgba_array(COLORS)[top]
