"""Groups satisfy the group axioms, and dihedral groups are the symmetries of a polygon."""

import itertools

import numpy as np
import pytest

from unamortized.worlds.processes import build_process

DIHEDRAL = ("D3", "D4", "D5", "D12", "D60")


def table(group):
    """Return product[i, g], the state that symbol g leads to from state i; symbols are ordered like states."""
    process = build_process("group_word", group=group)
    assert process.symbol_names == process.state_names
    return process.state_names, process.transitions.argmax(axis=2).T


def as_matrix(name, size):
    """Return the symmetry as a matrix that acts on column vectors."""
    angle = 2 * np.pi * int(name[1:]) / size
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]] if name[0] == "r" else [[cos, sin], [sin, -cos]])


@pytest.mark.parametrize("group", [*DIHEDRAL, "Z7", "S3", "S4", "A5"])
def test_group_axioms(group):
    names, product = table(group)
    order = len(names)
    everything = np.arange(order)
    np.testing.assert_array_equal(product[0], everything)  # identity
    np.testing.assert_array_equal(product[:, 0], everything)
    np.testing.assert_array_equal(np.sort(product, axis=0), everything[:, None] * np.ones((1, order), dtype=int))
    np.testing.assert_array_equal(np.sort(product, axis=1), everything * np.ones((order, 1), dtype=int))
    inverse = (product == 0).argmax(axis=1)
    assert (product[everything, inverse] == 0).all()
    assert (product[inverse, everything] == 0).all()
    np.testing.assert_array_equal(product[product], product[:, product])  # (i g) h = i (g h)


@pytest.mark.parametrize("group", DIHEDRAL)
def test_dihedral_groups_are_the_symmetries_of_a_polygon(group):
    size = int(group[1:])
    names, product = table(group)
    assert names == tuple(f"{kind}{number}" for kind in "rs" for number in range(size))
    matrices = np.stack([as_matrix(name, size) for name in names])
    # later symbols act later, hence from the left
    np.testing.assert_allclose(matrices[product], np.einsum("gab,ibc->igac", matrices, matrices), atol=1e-12)


@pytest.mark.parametrize("group", DIHEDRAL)
def test_dihedral_relations(group):
    names, product = table(group)
    size, turn, flip = len(names) // 2, names.index("r1"), names.index("s0")
    power = 0
    for count in range(1, size + 1):
        power = product[power, turn]
        assert (power == 0) == (count == size)
    assert product[flip, flip] == 0
    turned_back = product[product[flip, turn], flip]
    assert product[turned_back, turn] == 0  # s r s is the inverse of r


def isomorphic(first, second):
    order = len(first)
    for image in itertools.permutations(range(order)):
        image = np.array(image)
        if (image[first] == second[np.ix_(image, image)]).all():
            return True
    return False


def test_d3_is_s3_and_not_z6():
    (_, dihedral), (_, symmetric), (_, cyclic) = table("D3"), table("S3"), table("Z6")
    assert isomorphic(dihedral, symmetric)
    assert not isomorphic(dihedral, cyclic)


@pytest.mark.parametrize("seed", range(3))
def test_two_generators_reach_the_whole_dihedral_group(seed):
    process = build_process("group_word", group="D6", generators=2, seed=seed)
    assert process.n_symbols == 2
    reach = np.linalg.matrix_power(np.eye(12) + process.state_transitions, 12)
    assert (reach > 0).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"group": "D61"}, "group must be Z2 to Z120, D3 to D60, S2 to S5 or A3 to A5 (got 'D61')"),
        ({"group": "D2"}, "group must be"),
        ({"group": "D5", "elements": ["r1", "r2"]}, "elements must generate D5 (got 5 of its 10 elements)"),
        ({"group": "D5", "elements": ["r5"]}, "elements must be distinct elements of D5, such as 'r0', 'r1', 'r2'"),
        ({"group": "D5", "generators": 1}, "generators must be at least 2: no single element generates D5"),
    ],
)
def test_an_invalid_dihedral_group_is_an_error(parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process("group_word", **parameters)
    assert str(raised.value).startswith(message)
