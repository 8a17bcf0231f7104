"""The noisy permutation with few states: worlds that forget at a chosen rate and that a direct model can amortize."""

from collections.abc import Iterable

TASK = "noisy_permutation"
RESOLUTION = {3: 12, 5: 8}  # of the codebook, by number of states


def small_world(slip: float, n_steps: int, tested: Iterable[int], states: int = 3, symbols: int = 3) -> tuple[str, ...]:
    """Return the overrides of the task; a larger ``slip`` forgets faster, ``n_steps`` is the longest trained."""
    return (
        f"process.states={states}",
        f"process.symbols={symbols}",
        f"process.slip={slip}",
        f"codebook.resolution={RESOLUTION[states]}",
        f"steps.train=[1, {n_steps}]",
        f"steps.test={sorted(set(tested))}",
    )
