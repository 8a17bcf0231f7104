"""What each figure shows, in words that stand below it in the report."""

SEEDS = "Lines are means over seeds, bands 95 % t-intervals over seeds (none with one seed)."

CAPTIONS = {
    "kl_by_length": (
        "KL divergence from the exact posterior to the model's answer against the number of observations, after "
        f"the model's own free-running trace. {SEEDS} Grey: baselines that need no training, without bands. "
        "Shaded: lengths seen in training. Values below 1e-4 nats are drawn there."
    ),
    "accuracy_by_length": (
        "Share of answers whose most probable state is a most probable state of the exact posterior, against the "
        f"number of observations. {SEEDS} Grey: baselines. Black: exact inference. Shaded: lengths seen in "
        "training."
    ),
    "light_cone": (
        "One step of the written trace is replaced by another problem's and the model goes on from there. Left: "
        "how far the answer moves (colour) beside how far exact Bayes says it should (black), by lag between edit "
        "and end. Right: causal reliance α: 1 follows the trace as Bayes would, 0 ignores it. Dashed: the steps "
        "after the edit kept as they were, where 0 is right for every lag above 0. Dotted control: fitted on "
        "another problem's counterfactual. Seeds with fewer than 16 problems whose exact answer moves are left "
        f"out at that lag. {SEEDS}"
    ),
    "triangle_along_trace": (
        "KL divergences between the exact belief, the belief that the trace states and the belief probed in the "
        "last layer, at each step; one column a number of observations, the probe fitted at the longest training "
        f"length alone. {SEEDS} Shaded: steps within training length. Values below 1e-4 nats are drawn there."
    ),
    "probe_r2_by_layer": (
        "R² of an affine probe for the exact belief, fitted and scored on disjoint problems, steps pooled. Left: "
        "read where a belief (or the answer) is about to be written; right: at the tokens of the observations. "
        "Lighter lines are controls of the condition with that colour: the network before training, beliefs "
        "shuffled among problems, and, as a horizontal line, the last ten observations without any network. "
        f"{SEEDS} Values below −0.2 are drawn there."
    ),
    "belief_simplex": (
        "Beliefs over three states as points of a triangle, one point a step of a test problem, the same problems "
        "and steps in every panel. Each point is coloured by its exact belief (red, green, blue: probability of "
        "state 0, 1, 2), so that a faithful panel repeats both the shape and the colours of the left one. One "
        "seed."
    ),
    "one_problem": (
        "The first test problem of the task, not a chosen one. From above: the observations; the exact belief; "
        "the belief that CoT states; the beliefs probed in the last layer (grey: not available at that step). "
        "Circles: the latent state that was drawn. Right: the answers, with the exact answer as a black mark. One "
        "seed."
    ),
}
