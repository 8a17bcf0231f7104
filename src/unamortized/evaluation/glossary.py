"""Glossary: one sentence for every baseline, control, site and variant that occurs in a table.

Metrics are described in ``METRICS`` and ways of learning in ``CONDITIONS``. A number in a name is left out here:
``window_8`` is described under ``window`` (``labels.stem``).
"""

from unamortized.labels import parts, stem

BASELINES = {
    "prior": "The start belief moved on by the process, with no observation used.",
    "window": "Exact inference from the start and the last observations alone (window_8: eight).",
    "particle": "A bootstrap particle filter (particle_64: 64 particles).",
    "trained_bayes": "Exact inference under the parameters of training, where the tests have others.",
    "codebook_floor": "The answer that the code of the exact last belief implies.",
    "codebook_recursive": "Exact inference that rounds each belief to its code before it reads the next observation.",
    "reader": "Exact Bayes in place of a model: it answers rho from its trace and 1 - rho from the question.",
    "marginal": "The distribution of the variable asked about, ignoring the known one.",
    "exact_scaffolded": "The path between two variables walked with exact conditionals, averaged over few samples.",
    "update_table": "A memorized table of all k-step updates; no model.",
    "test_questions": "The test questions themselves; no model.",
}

CONTROLS = {
    # in place of the trained network, or of its activations
    "untrained": "The network before training.",
    "in_sample": "Scored on the problems that the probe was fitted on, as in Shai et al. (2024).",
    "window_10": "The last ten observations, one-hot, without a network.",
    "window_4_exact": "Exact Bayes's belief from the start and the last four observations.",
    "window_10_exact": "Exact Bayes's belief from the start and the last ten observations.",
    "random_relu": "512 random features of the last ten observations.",
    "own_output": "The model's own distribution over the next token.",
    "last_statement": "The last stated belief times the next observation.",
    # in place of the belief that a probe is asked for
    "shuffled_belief": "Another problem's belief at the same step.",
    "wrong_process": "The belief under another process with equally frequent symbols.",
    "control_task": "A random belief assigned to each word of the last few observations (Hewitt & Liang 2019).",
    "next_symbol": "The exact distribution of the next symbol.",
    "constrained_belief": "The sum of each observation's own evidence, faded with age (Piotrowski et al. 2025).",
    "belief_back": "The exact belief some steps ago.",
    "known_by_then": "The exact expectation of the last belief, given the observations up to the step.",
    # in place of the counterfactual, the edit or the trace
    "wrong_counterfactual": "Causal reliance fitted on another problem's counterfactual.",
    "other_trace": "Another problem's trace in place of the reworded one.",
    "exchanged_codes": "The codes of other problems at the same step, judged as if written here.",
    "codes_only": "A trace that fetches observations, judged by its codes alone.",
    "exact_trace": "The codes of exact beliefs, judged as the model's are: what rounding alone costs.",
    # in place of a steered activation
    "unsteered": "No activation moved.",
    "token_edit": "The written code edited instead of the activation.",
    "wrong_state": "The activation moved to another problem's belief.",
    "mean_patch": "The activation replaced by its mean.",
    "donor_patch": "The activation replaced by another problem's.",
    "donor_subspace": "Its part in the belief subspace replaced by another problem's.",
    "donor_random": "Its part in a random subspace replaced by another problem's.",
    "random_subspace": "A random subspace of the same rank and, as nearly as possible, variance.",
    "random_patch": "A change of equal size in a random subspace of the same rank and variance.",
    "exact_loss": "What losing the belief costs exact Bayes.",
    "untouched": "Nothing erased.",
    "random_columns": "The edge to another observation cut instead.",
    # in place of the other subspace
    "exact_belief": "The exact beliefs themselves.",
    "refit": "A second fit of the same subspace: how near two subspaces can be.",
    "refitted": "A probe fitted at that length, too.",
    "amortized": "The model without a trace that began from the same weights.",
    "amortized_refit": "A second fit of the same subspace: how near two subspaces can be.",
    "amortized_random_subspace": "A random subspace: how near two subspaces are by chance.",
}

SITES = {
    "question": "At the token of observation x_t, while the model reads the question.",
    "about_to_state": "At the token before step t (or the answer) is written.",
    "observation": "Attention to the token of x_t cut, or x_t replaced.",
    "last_code": "Attention to the last code cut, or the last code replaced.",
    "own": "Attention to the column itself cut.",
    "earlier_codes": "Attention to the codes before the last one cut.",
    "earlier_observations": "Attention to the observations before x_t cut.",
    "later_observations": "Attention to the observations after x_t cut.",
    "marks": "Attention to marks and to what the question tells first cut.",
}

VARIANTS = {
    "mean": "Answers averaged over this many sampled traces.",
    "after": "The model after this many training steps.",
    "l": "A model with this many layers.",
    "muon": "A model trained with Muon.",
    "adamw": "A model trained with AdamW.",
    "mixed": "A model trained on all training lengths.",
    "longest": "A model trained on the longest questions alone.",
    "growing": "A model trained on lengths that grow as the loss allows.",
    "steps": "A model trained for this many steps; without the variant, for more.",
    "layers": "A model with this many layers; without the variant, two.",
    "t": "A model trained for this many steps.",
    "n": "A model trained on this many questions.",
    "direct": "The variable asked about, at once after the known one.",
    "scaffolded": "The same after samples of the variables on the path between the two, averaged.",
    "negative_scaffold": "The same after samples of as many variables off the path.",
    "free": "The same after samples of the variables that the model chooses to write first.",
    "alibi": "ALiBi positions.",
    "rotary": "Rotary positions.",
    "learned": "Learned absolute positions.",
    "randomized": "Learned positions, drawn in order from a larger range.",
    "none": "No positions.",
    "coupled": "The token that produces step t carries the position id of observation t.",
    "plain": "Position ids count tokens.",
}


def is_described(control: str) -> bool:
    """Whether a control, or each of several joined by a plus, has a sentence."""
    return None not in _sentences(control)


def control_described(control: str) -> str:
    """Return the sentence that describes a control, or each of several joined by a plus.

    Raises:
        KeyError: if one of them has none.
    """
    if not is_described(control):
        raise KeyError(control)
    return " ".join(filter(None, _sentences(control)))


def _sentences(control: str) -> list[str | None]:
    return [CONTROLS.get(name, CONTROLS.get(stem(name))) for name in parts(control)]
