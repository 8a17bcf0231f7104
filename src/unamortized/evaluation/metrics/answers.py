"""Metrics of answers and traces: how good they are, and what they are set against."""

from unamortized.evaluation.metrics.metric import Metric

ANSWERS = (
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
)
