"""Pictures of a process: its graph of states and transitions, and the beliefs after its words."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from unamortized.studies.figures.simplex import outline, to_triangle
from unamortized.studies.figures.style import STYLE, UNORDERED
from unamortized.worlds.mixed_states import Level, pooled
from unamortized.worlds.processes import Process

MOST_STATES, MOST_LABELS = 12, 64  # of a graph; a larger process is drawn as a heat map
LEAST = 0.01  # the graph leaves out less probable transitions, and counts them
NODE, LOOP, MARGIN = 0.13, 0.11, 0.62  # radii and margin, with the states on a circle of radius 1
WORD = (0.26, 0.09)  # width and height of a label, in the same unit
INK = "#333333"

# ── states and transitions ───────────────────────────────────────────────────────────────────────


@matplotlib.rc_context(STYLE)
def process_graph(process: Process, title: str = "") -> Figure:
    """Draw states on a circle, with an arrow for each transition, labeled ``symbol: probability``.

    A process too large for a graph is drawn as a heat map of its matrices summed over symbols. Matrices that hold no
    probabilities (generalized processes) have a heat map each.
    """
    shown = process.transitions >= LEAST
    if process.is_generalized or process.n_states > MOST_STATES or shown.sum() > MOST_LABELS:
        return _heat_map(process, title)
    first = np.pi if process.n_states == 2 else np.pi / 2  # two states lie side by side
    angles = first - 2 * np.pi * np.arange(process.n_states) / process.n_states
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    width, height = np.ptp(places, axis=0) + 2 * MARGIN
    scale = 1.9 + 0.12 * process.n_states  # inches
    figure = Figure(figsize=(max(5.0, scale * width), scale * height + 0.6))
    axes = figure.subplots()
    labeled: list[np.ndarray] = []  # places of labels
    for i, j in np.argwhere(shown.any(axis=0)).tolist():
        symbols = np.flatnonzero(shown[:, i, j]).tolist()
        labels = "\n".join(f"{process.symbol_names[x]}: {_short(process.transitions[x, i, j])}" for x in symbols)
        likeliest = int(process.transitions[:, i, j].argmax())
        color = UNORDERED[likeliest] if process.n_symbols <= len(UNORDERED) else "#8A8A8A"
        if i == j:
            _loop(axes, places[i], labels, color)
        else:
            labeled.append(_arrow(axes, places[i], places[j], labels, color, labeled))
    for name, (x, y) in zip(process.state_names, places, strict=True):
        axes.add_patch(Circle((x, y), NODE, facecolor="#F7F5EF", edgecolor=INK, linewidth=1.2, zorder=4))
        axes.text(x, y, name, ha="center", va="center", fontsize=min(10.5, 42 / len(name)), zorder=5)
    axes.set_aspect("equal")
    (left, bottom), (right, top) = places.min(axis=0) - MARGIN, places.max(axis=0) + MARGIN
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    axes.set_title(title)
    note = "symbol: probability of emitting it and following the arrow; color: the likeliest symbol"
    omitted = process.transitions[~shown & (process.transitions > 0)]
    if omitted.size:
        note += f"\nnot shown: {omitted.size} transitions with probability at most {omitted.max():.2g}"
    figure.supxlabel(note, fontsize=8.5, color="#555555")
    return figure


def _short(probability: float) -> str:
    """Return at most three decimals, without the zero before the point."""
    return f"{probability:.3f}".rstrip("0").rstrip(".").removeprefix("0")


def _arrow(
    axes: Axes, start: np.ndarray, end: np.ndarray, labels: str, color: str, labeled: Sequence[np.ndarray]
) -> np.ndarray:
    """Draw an arrow, label it where other labels leave most room, and return the label's place.

    The arrow bends to its left, so that the arrows of both directions between two states lie apart.
    """
    along = end - start
    control = (start + end) / 2 + 0.14 * np.array([-along[1], along[0]])
    t = np.linspace(0, 1, 201)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    outside = np.linalg.norm(curve - start, axis=1) > NODE
    outside &= np.linalg.norm(curve - end, axis=1) > NODE + 0.01
    _draw(axes, curve[outside], color)
    candidates = curve[[56, 64, 72, 80, 90, 110, 124]]  # near the start of the arrow
    size = np.array(WORD)  # labels this far apart do not touch
    apart = [min((np.abs((other - place) / size).max() for other in labeled), default=1.0) for place in candidates]
    place = candidates[int(np.argmax(np.minimum(apart, 1.0)))]
    _label(axes, place, labels)
    return place


def _loop(axes: Axes, place: np.ndarray, labels: str, color: str) -> None:
    """Draw an arrow from a state to itself outside the circle, with its label beyond it."""
    outward = place / np.linalg.norm(place)
    across = np.array([outward[1], -outward[0]])
    turn = np.linspace(-0.82 * np.pi, 0.79 * np.pi, 101)[:, None]
    center = place + (NODE + 0.75 * LOOP) * outward
    _draw(axes, center + LOOP * (np.cos(turn) * outward + np.sin(turn) * across), color)
    ha = "left" if outward[0] > 0.4 else "right" if outward[0] < -0.4 else "center"
    va = "center" if abs(outward[1]) < 0.4 else "bottom" if outward[1] > 0 else "top"
    _label(axes, center + (LOOP + 0.03) * outward, labels, ha=ha, va=va)


def _draw(axes: Axes, curve: np.ndarray, color: str) -> None:
    """Draw a line through points, with an arrowhead at its end."""
    axes.plot(*curve[:-4].T, color=color, linewidth=1.2, solid_capstyle="butt", zorder=2)
    head = {"arrowstyle": "-|>,head_length=0.5,head_width=0.22", "color": color, "linewidth": 0.8}
    head |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 14}
    axes.annotate("", tuple(curve[-1]), tuple(curve[-5]), arrowprops=head, zorder=2)


def _label(axes: Axes, place: np.ndarray, labels: str, ha: str = "center", va: str = "center") -> None:
    box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.88}
    x, y = place.tolist()
    axes.text(x, y, labels, fontsize=7.5, color=INK, linespacing=1.15, zorder=3, bbox=box, ha=ha, va=va)


def _heat_map(process: Process, title: str) -> Figure:
    """Draw transition matrices: rows are states before a step, columns states after it."""
    n_states = process.n_states
    if process.is_generalized:
        matrices, titles = process.transitions, [f"symbol {name}" for name in process.symbol_names]
        cmap, label = "RdBu_r", "entry of the symbol's matrix"
    else:
        matrices, titles = process.state_transitions[None], [""]
        cmap, label = "Grays", "probability of the transition, summed over symbols"
    largest = float(np.abs(matrices).max())
    columns = min(len(matrices), 4)
    rows = -(-len(matrices) // columns)
    figure = Figure(figsize=(5.6 if columns == 1 else 1.2 + 2.6 * columns, 5.0 if columns == 1 else 0.8 + 2.6 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    every = list(range(n_states) if n_states <= 24 else range(0, n_states, -(-n_states // 12)))
    names = [process.state_names[state] for state in every]
    turned = 90 if max(map(len, names)) > 2 else 0
    image = None
    for axes, matrix, name in zip(panels, matrices, titles, strict=False):
        image = axes.imshow(
            *(matrix, cmap), vmin=-largest if process.is_generalized else 0, vmax=largest, interpolation="none"
        )
        axes.set_xticks(every, names, fontsize=7.5, rotation=turned)
        axes.set_yticks(every, names, fontsize=7.5)
        axes.set_title(name, loc="center", fontsize=9)
    for axes in panels[len(matrices) :]:
        axes.set_axis_off()
    figure.supxlabel("next state" if columns == 1 else "to entry", fontsize=9.5)
    figure.supylabel("state" if columns == 1 else "from entry", fontsize=9.5)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
    if image is not None:
        figure.colorbar(image, ax=panels.tolist(), shrink=0.8, label=label)
    return figure


# ── mixed states ─────────────────────────────────────────────────────────────────────────────────


@matplotlib.rc_context(STYLE)
def mixed_states(process: Process, levels: Sequence[Level], title: str = "") -> Figure:
    """Draw the beliefs after all words up to a length as points; their area is the probability of the belief.

    Beliefs over three states lie in a triangle, and the probabilities of the states mix red, green and blue. Other
    beliefs are projected onto their first two principal components and colored by their likeliest state; vectors of
    generalized processes, which are no distributions over states, by their likeliest next symbol.
    """
    weight, beliefs, dropped = pooled(levels)
    order = np.argsort(-weight, kind="stable")  # improbable beliefs on top, because they are small
    weight, beliefs = weight[order], beliefs[order]
    figure = Figure(figsize=(6.2, 5.2))
    axes = figure.subplots()
    if process.n_states == 3 and not process.is_generalized:
        outline(axes, process.state_names)
        points, colors = to_triangle(beliefs), to_rgba_array(beliefs.clip(0, 1))
    else:
        points, (x_label, y_label) = _plane(weight, beliefs)
        colors = _likeliest(axes, process, beliefs)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.12)
    area = np.clip(1500 * weight, 0.7, 420)
    colors[:, 3] = np.clip(0.25 + 40 * weight, 0.35, 0.9)
    axes.scatter(*points.T, c=colors, s=area, linewidths=0, rasterized=True, zorder=2)
    axes.set_title(title)
    note = f"beliefs after all words of up to {len(levels) - 1} symbols; area: probability"
    if dropped > 0:
        note += f"\nnot shown: improbable words, with a total probability of {dropped:.2g}"
    figure.supxlabel(note, fontsize=8.5, color="#555555")
    return figure


def _plane(weight: np.ndarray, beliefs: np.ndarray) -> tuple[Float[np.ndarray, "point 2"], tuple[str, str]]:
    """Return the first two principal components of each belief, and their labels."""
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
    """Return a color for each belief, and draw a legend if the palette has enough colors."""
    names = process.symbol_names if process.is_generalized else process.state_names
    colored = "next symbol" if process.is_generalized else "state"
    values = beliefs @ process.emissions if process.is_generalized else beliefs
    top = np.round(values, 9).argmax(axis=1)  # rounding keeps ties; the first wins
    if len(names) > len(UNORDERED):
        return np.tile(to_rgba_array(UNORDERED[1]), (len(beliefs), 1))
    handles = [
        Line2D([], [], linestyle="", marker="o", color=UNORDERED[number], label=names[number])
        for number in np.unique(top).tolist()
    ]
    title = f"likeliest\n{colored}"
    axes.legend(handles=handles, title=title, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return to_rgba_array(UNORDERED)[top]
