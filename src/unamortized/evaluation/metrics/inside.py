"""Metrics of what a model holds inside: beliefs that are read, moved and erased, and where they are computed."""

from functools import partial

from unamortized.evaluation.metrics.faithfulness import by_lag
from unamortized.evaluation.metrics.metric import Metric

at_step = partial(Metric, step="step t")

INSIDE = (
    Metric(
        "probe_r2",
        "ratio",
        "1 - sum |eta_t - probe|^2 / sum |eta_t - mean|^2",
        "How much of the exact belief's variance an affine probe reads from the residual stream.",
        step="step t; none: all steps together",
        label="probe R²",
    ),
    by_lag(
        "steered_kl",
        "nats",
        "E KL(pi_cf || q), the activation moved along the belief subspace to b'",
        "How far the answer is from what exact Bayes makes of the belief that an activation was moved to.",
        label="KL(counterfactual ‖ answer)",
    ),
    by_lag(
        "steered_reliance",
        "ratio",
        "as causal_reliance, the activation moved",
        "Whether the answer follows a moved activation as far as exact Bayes would.",
    ),
    by_lag(
        "erased_kl",
        "nats",
        "E KL(pi* || q), the belief subspace set to its mean",
        "How far the answer is from exact with the belief subspace erased.",
    ),
    Metric(
        "effective_dimension",
        "dimensions",
        "(sum lambda)^2 / sum lambda^2, variances along principal components",
        "How many directions activations (or beliefs) spread over.",
    ),
    Metric(
        "belief_variance",
        "fraction",
        "tr(P C P') / tr(C), P the projector on the belief subspace, C the covariance",
        "How much of the activations' variance lies in the belief subspace.",
    ),
    Metric(
        "subspace_angle",
        "degrees",
        "mean principal angle between belief subspaces",
        "How differently two models, or one model at two lengths, hold the belief.",
        source="Björck & Golub 1973",
    ),
    Metric(
        "route_tv",
        "probability",
        "E TV(p_cut(c_t), p(c_t)), a head kept from attending to the columns of a site before step t is stated",
        "How far the next code moves when a head may not look at certain columns.",
    ),
    Metric(
        "route_reliance",
        "ratio",
        "as causal_reliance, of sum_c p(c_t = c) E[eta | c] on step(c_{t-1}, x_t), x_t or c_{t-1} replaced; one "
        "component's output as it is then, everything after it free to react",
        "How much of a step's dependence on the observation, or on the last code, passes through a component.",
    ),
    Metric(
        "route_reliance_direct",
        "ratio",
        "as route_reliance, with everything computed after the component held as it was",
        "How much of that passes from the component straight to the output.",
    ),
    at_step(
        "stated_kl",
        "nats",
        "E KL(eta_t || E[eta | c_t])",
        "How far the belief that the trace states is from the exact belief.",
    ),
    at_step(
        "probed_kl",
        "nats",
        "E KL(eta_t || .99 simplex(probe) + .01 uniform)",
        "How far the belief that a probe reads is from the exact belief.",
    ),
    at_step(
        "stated_probed_kl",
        "nats",
        "E KL(E[eta | c_t] || .99 simplex(probe) + .01 uniform)",
        "How far the belief that a probe reads is from the one that the trace states.",
    ),
    at_step(
        "path_r2",
        "ratio",
        "as probe_r2, a probe for each t: affine, or a linear discriminant where all eta_t are certain",
        "Whether a model that writes no steps holds the belief of step t inside.",
    ),
    Metric(
        "window_r2",
        "ratio",
        "the same of e_i T[x_{n-k+1}] .. T[x_n], normalized, for all i if S^2 <= 64, else one",
        "Whether a model holds what the last k observations make of known states, whatever came before.",
        step="window k: number of last observations",
    ),
    Metric(
        "composed_steps",
        "steps",
        "largest k with window_r2 >= .5 at either site, and (R2 - U) / (1 - U) >= .5 unless U >= .5; U the untrained "
        "network's",
        "How many of the last observations a layer has composed.",
    ),
    Metric(
        "path_steps",
        "steps",
        "the same of path_r2, largest t",
        "How far along the path a layer holds the belief at the observations.",
    ),
)
