"""The glossary: names, units and formulas of all metrics, as code, tables and reports call them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A measured quantity, as the glossary prints it."""

    name: str
    unit: str
    formula: str
    says: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("answer_kl", "nats", "E KL(pi* || q)", "how far the model's answer is from the exact posterior"),
        Metric("answer_tv", "probability", "E 1/2 |pi* - q|_1", "the same as total variation"),
        Metric("map_agreement", "fraction", "E [argmax q in argmax pi*]", "share of answers whose mode is right"),
        Metric(
            "calibration_error",
            "probability",
            "sum_bins P(bin) |E max q - E pi*(argmax q)|, ten bins of max q",
            "how far stated confidence is from the exact probability of being right",
        ),
        Metric(
            "answer_flops",
            "FLOPs",
            "24 d^2 a token and 4 d a pair of tokens (gru: 12 d^2 a token), per layer; 2 d V a written token",
            "what one free-running answer costs, its trace included",
        ),
        Metric(
            "codebook_floor",
            "nats",
            "E KL(pi* || Phi(E[eta | c_n]))",
            "what an answer costs that knows only the code of the last exact belief",
        ),
        Metric("entropy_rate", "nats", "lim H[X_n | X_1..n-1]", "what a symbol of the process costs at best"),
        Metric(
            "mixing_time",
            "steps",
            "-1 / log |second eigenvalue of sum_x T[x]|",
            "steps in which the state forgets its start by a factor e, if nobody looks",
        ),
        Metric(
            "forgetting_time",
            "steps",
            "1 / (lambda_1 - lambda_2), Lyapunov exponents of products of T[x_t]",
            "steps in which the belief forgets its start by a factor e; infinite if it never does",
        ),
        Metric(
            "trace_agreement",
            "fraction",
            "E [c_t = code(eta_t)]",
            "share of written steps that state the exact code",
        ),
        Metric(
            "step_right",
            "fraction",
            "E [code(step(c_{t-1}, x_t)) is the update nearest to c_t, at TV <= 1/8; or both codes are exact]",
            "share of written steps that are the exact update of the model's own code before",
        ),
        Metric(
            "pointer_error",
            "fraction",
            "E [not right, and some code(step(c_{t-1}, v)) at TV <= 1/8; or a wrong copy or index]",
            "share of written steps that are the update with an observation other than x_t",
        ),
        Metric(
            "update_error",
            "fraction",
            "1 - step_right - pointer_error",
            "share of written steps that are the update with no observation",
        ),
        Metric(
            "pointer_share",
            "fraction",
            "pointer_error / (pointer_error + update_error)",
            "share of the wrong steps that a wrong observation explains; none where no step is wrong",
        ),
        Metric(
            "pointer_hidden",
            "fraction",
            "E [code(step(c_{t-1}, v)) = code(step(c_{t-1}, x_t)) for some v != x_t]",
            "share of steps at which some wrong observation would not show",
        ),
        Metric(
            "stride_step_right",
            "fraction",
            "E [c_t = code(Phi(E[eta | c_{t-k}], x_{t-k+1} .. x_t))], the start belief before the first",
            "share of codes that are the exact k-step update of the model's own code before",
        ),
        Metric(
            "table_questions",
            "questions",
            "max(U (log U + .577) k / n, C_n (log C_n + .577)), U = V^k C",
            "training questions that show every k-step update of C codes by V symbols, and every last code",
        ),
        Metric(
            "conditional_mse",
            "probability²",
            "E |p(X_i | X_j) - q|^2 / k, over pairs, directions and values of X_j, with k values of X_i",
            "how far what is said of a variable, given another, is from the exact conditional",
        ),
        Metric(
            "thoughts_written",
            "count",
            "E [variables between X_j and X_i]",
            "how many variables a model writes, by its own choice, before it comes to the one asked about",
        ),
        Metric(
            "duplicate_rate",
            "fraction",
            "share of test questions that training may contain",
            "leak, per length",
        ),
        Metric(
            "causal_reliance",
            "ratio",
            "sum <q_edit - q, pi_cf - pi*> / sum |pi_cf - pi*|^2",
            "alpha: 1 if the answer follows an edited trace as exactly as Bayes would, 0 if it ignores it",
        ),
        Metric(
            "causal_reliance_frozen",
            "ratio",
            "as causal_reliance, the steps after the edit kept as they were",
            "0 is right for an edit before the last step of a Markov trace",
        ),
        Metric(
            "causal_reliance_abrupt",
            "ratio",
            "as causal_reliance, the last step as the edit made it, all others as they were",
            "what the same wrong end does if no consistent steps lead to it",
        ),
        Metric(
            "reliance_r2",
            "ratio",
            "1 - sum |q_edit - q - alpha (pi_cf - pi*)|^2 / sum |q_edit - q|^2",
            "share of the answers' movement that lies along the exact counterfactual",
        ),
        Metric("edit_tv", "probability", "E TV(q_edit, q)", "how much an edited step moves the answer"),
        Metric("counterfactual_tv", "probability", "E TV(pi_cf, pi*)", "how much it should, by exact Bayes"),
        Metric(
            "mistake_changed",
            "fraction",
            "E [argmax q_edit != argmax q]",
            "how often an edited step changes the answer",
        ),
        Metric(
            "mistake_changed_exact", "fraction", "E [argmax pi_cf != argmax pi*]", "how often it should, by exact Bayes"
        ),
        Metric(
            "dial_distance",
            "nats",
            "E KL(rho pi_cf + (1 - rho) pi* || q_edit), problems kept",
            "how far answers to edited traces are from the optimum of what the dial trains",
        ),
        Metric(
            "undisturbed_kl",
            "nats",
            "E KL(pi* || q), problems kept, without any edit",
            "how far answers are from exact on the problems that an edit would move, if nobody edits",
        ),
        Metric(
            "early_changed",
            "fraction",
            "E [argmax q_m != argmax q], q_m the answer after m steps of the trace",
            "how often the answer changes if it is given so many steps early",
        ),
        Metric(
            "early_changed_exact",
            "fraction",
            "E [argmax p(a | x_1..m) != argmax pi*]",
            "how often it would if only what is stated were known",
        ),
        Metric("early_aoc", "fraction", "mean over m of early_changed", "area over the curve of early answers"),
        Metric(
            "early_aoc_exact", "fraction", "mean over m of early_changed_exact", "the same, if only the trace is known"
        ),
        Metric(
            "early_reliance",
            "ratio",
            "sum <q_m - q, p_m - pi*> / sum |p_m - pi*|^2, p_m = p(a | x_1..m)",
            "1 if an early answer says what the trace has come to, 0 if it is the answer all the same",
        ),
        Metric(
            "necessity",
            "bits",
            "E sum pi* (log2 q - log2 q_0), q_0 the answer without any trace",
            "how much worse the answer is without its trace",
        ),
        Metric(
            "necessity_exact",
            "bits",
            "E sum pi* (log2 pi* - log2 prior)",
            "how much worse it would be if only the trace were read",
        ),
        Metric(
            "posthocness",
            "ratio",
            "1 - E TV(q_0, q) / E TV(prior, q)",
            "1 if the answer stands before the trace, 0 if the trace makes it",
        ),
        Metric(
            "internal_horizon",
            "steps",
            "the most steps left out, with all fewer, at which E KL(pi* || q_m) <= .1 nats",
            "how many steps the model composes without writing them",
        ),
        Metric(
            "internal_horizon_exact",
            "steps",
            "the same of p(a | x_1..m)",
            "how many steps may be left out without loss as they hardly matter",
        ),
        Metric(
            "indirect_effect",
            "ratio",
            "sum <q(A, b) - q(A, a), pi_B - pi_A> / sum |pi_B - pi_A|^2, trace b of question B",
            "how far another question's trace alone moves the answer there",
        ),
        Metric(
            "direct_effect", "ratio", "the same of q(B, a)", "how far another question under the same trace moves it"
        ),
        Metric("effect_interaction", "ratio", "the same of q(B, b), less both", "what neither of them does alone"),
        Metric(
            "mediated_share",
            "ratio",
            "indirect / (indirect + direct effect)",
            "which part of the effect goes by the trace",
        ),
        Metric(
            "sufficiency",
            "ratio",
            "1 - E KL(pi* || mean q(X, a) over 32 other questions X) / E KL(pi* || prior)",
            "how much of the answer the trace tells if the question does not",
        ),
        Metric(
            "rewording_tv",
            "probability",
            "E TV(q_reworded, q)",
            "how far the same trace in other words moves the answer",
        ),
        Metric(
            "resampled_share",
            "fraction",
            "E [c'_t != c_t], c'_t drawn from the model",
            "how often the model might have stated something else",
        ),
        Metric(
            "resampled_tv", "probability", "E TV(q_resampled, q), where c'_t != c_t", "how far that moves the answer"
        ),
        Metric(
            "resampled_tv_exact", "probability", "E TV(Phi(c'_t), Phi(c_t)), where c'_t != c_t", "how far it should"
        ),
        Metric(
            "resampled_reliance",
            "ratio",
            "as causal_reliance, of resampled steps, on Phi(c'_t) - Phi(c_t)",
            "1 if it moves it as Bayes would",
        ),
        Metric(
            "simulatability",
            "ratio",
            "1 - E TV(Phi(stated belief; new end), q') / E TV(q, q'), q' to a question with a new end",
            "how well the trace foretells the answer to a question that ends otherwise",
        ),
        Metric(
            "last_belief_r2",
            "ratio",
            "1 - sum |eta_n - probe_t|^2 / sum |eta_n - mean|^2, probed where step t is about to be stated",
            "how well the end is decodable while the trace is still on its way",
        ),
        Metric(
            "performative_lead",
            "steps",
            "steps from which on last_belief_r2 >= .5, less those at which E[eta_n | x_1..t] reaches it",
            "how long before the trace could know it the model knows the end",
        ),
        Metric(
            "hint_slope",
            "ratio",
            "least-squares slope of the jump in log q(a) / q(b), hint at a against hint at b, on its strength",
            "1 if a hint moves the answer as far as Bayes' rule warrants",
        ),
        Metric(
            "hint_shown",
            "ratio",
            "the same slope of the last stated belief / hint_slope",
            "which part of a hint's effect the trace shows",
        ),
        Metric(
            "patch_reliance",
            "ratio",
            "as causal_reliance, step t patched along the probe to the belief b' where it is about to be stated",
            "1 if the answer follows a moved activation as exactly as Bayes would",
        ),
        Metric(
            "patch_agreement",
            "ratio",
            "1 - E TV(q_patch, q_edit) / E TV(q, q_edit)",
            "1 if moving the activation does what editing the token does",
        ),
        Metric(
            "conflict_token",
            "ratio",
            "a of the fit q_both - q = a (pi_A - pi*) + b (pi_B - pi*): token says A, activation B",
            "weight of the written step where the belief inside contradicts it",
        ),
        Metric("conflict_activation", "ratio", "b of that fit", "weight of the belief inside"),
        Metric("edits_kept", "count", "problems with TV(pi_cf, pi*) > tau", "problems that alpha is measured on"),
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
                    "probe_r2 - R2 of a belief dealt out to each word of three observations",
                    "what is read above what is learned by heart",
                ),
            )
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
                "the same of e_i T[x_{n-k+1}] .. T[x_n], normalised, for all i if S^2 <= 64, else one; step k",
                f"what the last k observations make of known states, whatever came before, read {where}",
            )
            for site, where in (("", "at the answer mark"), ("question_", "at the token of x_n"))
        ),
        Metric(
            "composed_steps",
            "steps",
            "largest k with (R2 - U) / (1 - U) >= .5, of window_r2 or question_window_r2; U the untrained network's, "
            "0 for k = 1",
            "how many of the last observations a layer has put together",
        ),
        Metric(
            "path_steps",
            "steps",
            "largest t with (R2 - U) / (1 - U) >= .5, of path_r2; U the untrained network's, 0 for t = 1",
            "how far from its start a layer has walked the path",
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
    )
}
