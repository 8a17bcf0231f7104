"""Pictures of processes show their matrices, for each kind of process, and have the same bytes on every run."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from unamortized.studies.figures.process import LEAST, MOST_STATES, mixed_states, process_graph
from unamortized.studies.figures.simplex import to_triangle
from unamortized.studies.figures.style import save
from unamortized.worlds.mixed_states import Level, pooled, unknown_start
from unamortized.worlds.mixed_states import mixed_states as levels_of
from unamortized.worlds.processes import Process, build_process

S3 = build_process("group_word", group="S3", elements=["213", "231"])
KINDS = {
    "mess3": build_process("mess3"),
    "rrxor": build_process("rrxor"),
    "S3": S3,
    "S4": build_process("group_word", group="S4"),
    "GHMM": build_process("tom_quantum"),
    "GHMM of four": build_process("fanizza"),
    "coin": Process(np.array([[[0.5]], [[0.5]]])),
    "many symbols": build_process("random_hmm", states=4, symbols=30),
}


def levels(process: Process, depth: int = 3) -> list[Level]:
    return levels_of(process, unknown_start(process.initial), depth)


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def points(figure) -> PathCollection:
    (found,) = (each for each in figure.axes[0].collections if isinstance(each, PathCollection))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_both_pictures(kind, tmp_path):
    process = KINDS[kind]
    save(process_graph(process, kind), tmp_path, "process")
    save(mixed_states(process, levels(process, 2), kind), tmp_path, "mixed_states")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_graph_names_states_and_labels_every_transition_with_its_probability():
    shown = texts(process_graph(KINDS["rrxor"]))
    assert set("S01TF") < set(shown)
    assert sorted(shown).count("0: 1") == 1  # F emits a zero and starts again
    assert shown.count("1: 1") == 1
    assert shown.count("0: .5") == 3
    assert shown.count("1: .5") == 3
    assert "0: .5\n1: .5" in texts(process_graph(build_process("zero_one_random")))


def test_the_head_of_an_arrow_is_at_the_state_it_leads_to():
    transitions = np.zeros((1, 3, 3))
    transitions[0, :, 2] = 1  # every state leads to the last, which is absorbing
    (axes,) = process_graph(Process(transitions)).axes
    heads = np.array([text.xy for text in axes.texts if not text.get_text()])  # annotations without text
    last = np.array([np.cos(7 / 6 * np.pi), np.sin(7 / 6 * np.pi)])  # clockwise from the top
    assert len(heads) == 3
    assert (np.linalg.norm(heads - last, axis=1) < 0.25).all()


def test_improbable_transitions_are_left_out_and_counted():
    process = KINDS["mess3"]
    figure = process_graph(process)
    few = process.transitions[process.transitions < LEAST]
    assert figure._supxlabel is not None
    assert f"not shown: {few.size} transitions with probability at most 0.0038" in figure._supxlabel.get_text()
    assert ".004" not in "".join(texts(figure))


@pytest.mark.parametrize("kind", ["S4", "GHMM", "many symbols"])
def test_a_process_too_large_for_a_graph_is_a_heat_map(kind):
    process = KINDS[kind]
    figure = process_graph(process)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    expected = process.transitions if process.is_generalized else process.state_transitions[None]
    np.testing.assert_array_equal(shown, expected)
    assert kind != "S4" or process.n_states > MOST_STATES


def test_beliefs_over_three_states_lie_in_the_triangle_with_their_color_and_size():
    process = KINDS["mess3"]
    found = points(mixed_states(process, levels(process)))
    expected = pooled(levels(process))
    order = np.argsort(-expected.probability, kind="stable")
    np.testing.assert_allclose(found.get_offsets(), to_triangle(expected.beliefs[order]))
    np.testing.assert_allclose(np.asarray(found.get_facecolors())[:, :3], expected.beliefs[order], atol=1e-12)
    assert (np.diff(found.get_sizes()) <= 0).all()  # probable beliefs are larger


def test_more_states_are_drawn_by_principal_components_and_the_axes_say_so():
    figure = mixed_states(S3, levels(S3, 6))
    assert "principal component 1 (" in figure.axes[0].get_xlabel()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == set(S3.state_names)


def test_the_probability_of_words_not_shown_is_written():
    process = KINDS["mess3"]
    cut = levels_of(process, unknown_start(process.initial), 4, 0.01)
    figure = mixed_states(process, cut)
    assert figure._supxlabel is not None
    assert f"with a total probability of {pooled(cut).dropped:.2g}" in figure._supxlabel.get_text()


@pytest.mark.parametrize("kind", ["mess3", "coin"])
def test_pictures_have_the_same_bytes_on_every_run(kind, tmp_path):
    process = KINDS[kind]
    for run in ("one", "two"):
        save(process_graph(process), tmp_path / run, "process")
        save(mixed_states(process, levels(process, 2)), tmp_path / run, "mixed_states")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
