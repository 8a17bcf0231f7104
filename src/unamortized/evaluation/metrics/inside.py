"""Metrics of what is inside: beliefs that are read, moved, erased, and where they are computed."""

from unamortized.evaluation.metrics.metric import Metric

INSIDE = (
    Metric(
        "route_tv",
        "probability",
        "E TV(p_cut(c_t), p(c_t)), a head kept from attending to some columns where step t is about to be stated",
        "how far the new code moves without what the head fetches there",
    ),
    Metric(
        "route_right",
        "probability",
        "E [p(c) - p_cut(c)], c = code(step(c_{t-1}, x_t))",
        "how much less likely the exact update of the model's own last code is then",
    ),
    Metric(
        "route_exact",
        "probability",
        "E [p(c) - p_cut(c)], c = code(eta_t)",
        "how much less likely the code of the exact belief is then, for which the last code alone need not do",
    ),
    Metric(
        "route_reliance",
        "ratio",
        "as causal_reliance, of sum_c p(c_t = c) E[eta | c] on step(c_{t-1}, x_t), x_t or c_{t-1} another; one "
        "component's output where step t is about to be stated as it is then, all after it free",
        "which part of an exact step's dependence on the observation, or on the last code, comes by a component",
    ),
    Metric(
        "route_reliance_direct",
        "ratio",
        "as route_reliance, all that is computed after the component as it was",
        "which part goes from there straight to the output",
    ),
    *(
        Metric(f"{site}{name}", unit, formula, f"{says}, {where}")
        for site, where in (
            ("", "where step t (or the answer) is about to be written"),
            ("question_", "at the token of observation x_t, while the question is being read"),
        )
        for name, unit, formula, says in (
            ("probe_r2", "ratio", "1 - sum |eta_t - probe|^2 / sum |eta_t - mean|^2", "belief read affinely"),
            (
                "probe_r2_unweighted",
                "ratio",
                "as probe_r2, each distinct belief once",
                "the same if none is likelier",
            ),
            ("probe_rmse", "probability", "(E |eta_t - probe|^2 / S)^1/2", "how far off the reading of a state is"),
            ("probe_kl", "nats", "E KL(eta_t || .99 simplex(probe) + .01 uniform)", "the reading as a belief"),
            (
                "probe_codelength",
                "nats",
                "sum_i E[-eta_t log probe_i] / N, probe_i fitted on all problems before the i-th chunk",
                "nats to tell a state to someone who learns the probe on the way",
            ),
            (
                "probe_selectivity",
                "ratio",
                "probe_r2 - R2 of a belief dealt out at random to each word of a few observations",
                "what is read above what is learned by heart",
            ),
        )
    ),
    *(
        Metric(f"{site}{name}", unit, formula, f"{says}, {where}")
        for site, where in (
            ("", "changed where step t (or the answer) is about to be written"),
            ("question_", "changed at the token of observation x_t"),
        )
        for name, unit, formula, says in (
            (
                "steered_kl",
                "nats",
                "E KL(pi_cf || q), the activation moved along the belief subspace to b'; step = lag",
                "how far the answer is from what a moved belief should make of it",
            ),
            (
                "steered_reliance",
                "ratio",
                "as causal_reliance, the activation moved",
                "1 if it follows as Bayes would",
            ),
            ("erased_kl", "nats", "E KL(pi* || q), the belief subspace put at its mean", "what is lost without it"),
            (
                "alone_kl",
                "nats",
                "E KL(pi* || q), all but the belief subspace put at its mean",
                "what it suffices for",
            ),
            (
                "effective_dimension",
                "dimensions",
                "(sum lambda)^2 / sum lambda^2, variances along principal components",
                "how many directions activations (or beliefs) spread over",
            ),
            (
                "belief_variance",
                "fraction",
                "tr(P C P') / tr(C), P the projector on the belief subspace, C the covariance",
                "how much of the activations' variance speaks of the belief",
            ),
            (
                "subspace_angle",
                "degrees",
                "mean principal angle between belief subspaces",
                "how differently two models, or one at two lengths, hold the belief",
            ),
        )
    ),
    Metric(
        "steered_agreement",
        "ratio",
        "1 - E TV(q_steered, q_edit) / E TV(q, q_edit)",
        "1 if moving the activation does what editing the token does",
    ),
    Metric(
        "stated_kl",
        "nats",
        "E KL(eta_t || E[eta | c_t])",
        "from the exact belief to the one that the trace states",
    ),
    Metric(
        "probed_kl",
        "nats",
        "E KL(eta_t || .99 simplex(probe) + .01 uniform)",
        "from the exact belief to the one that is probed",
    ),
    Metric(
        "stated_probed_kl",
        "nats",
        "E KL(E[eta | c_t] || .99 simplex(probe) + .01 uniform)",
        "from the stated belief to the probed one",
    ),
    Metric(
        "path_r2",
        "ratio",
        "1 - sum |eta_t - probe|^2 / sum |eta_t - mean|^2 at the token of x_t, a probe for each t: affine, or a "
        "linear discriminant where all eta_t are certain; step t",
        "whether a model that writes no steps has walked the path so far when it has read x_t",
    ),
    Metric(
        "answer_path_r2",
        "ratio",
        "the same of eta_k at the answer mark; step k",
        "whether the beliefs on the way are there where the answer is given",
    ),
    *(
        Metric(
            f"{site}window_r2",
            "ratio",
            "the same of e_i T[x_{n-k+1}] .. T[x_n], normalized, for all i if S^2 <= 64, else one; step k",
            f"what the last k observations make of known states, whatever came before, read {where}",
        )
        for site, where in (("", "at the answer mark"), ("question_", "at the token of x_n"))
    ),
    Metric(
        "composed_steps",
        "steps",
        "largest k with R2 >= .5, of window_r2 or question_window_r2, and (R2 - U) / (1 - U) >= .5 unless U >= .5; "
        "U the untrained network's",
        "how many of the last observations a layer has put together",
    ),
    Metric(
        "path_steps",
        "steps",
        "the same of path_r2, largest t",
        "how far from its start a layer has walked the path",
    ),
)
