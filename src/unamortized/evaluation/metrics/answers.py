"""Metrics of answers and of written steps."""

from unamortized.evaluation.metrics.metric import Metric

ANSWERS = (
    Metric(
        "answer_kl",
        "nats",
        "E KL(pi* || q)",
        "How far the model's answer is from the exact posterior.",
        label="KL(exact ‖ answer)",
    ),
    Metric(
        "answer_tv",
        "probability",
        "E 1/2 |pi* - q|_1",
        "The total variation between the model's answer and the exact posterior.",
    ),
    Metric(
        "map_agreement",
        "fraction",
        "E [argmax q in argmax pi*]",
        "The share of answers whose most probable state is a most probable state of the exact posterior.",
        label="right answers",
    ),
    Metric(
        "calibration_error",
        "probability",
        "sum_bins P(bin) |E max q - E pi*(argmax q)|, ten bins of max q",
        "How far the model's confidence is from its exact probability of being right.",
        source="Guo et al. 2017",
    ),
    Metric(
        "answer_flops",
        "FLOPs",
        "24 d^2 a token and 4 d a pair of tokens (gru: 12 d^2 a token), per layer; 2 d V a written token",
        "What one answer costs, including the trace that the model writes before it.",
        label="one answer",
    ),
    Metric(
        "codebook_floor",
        "nats",
        "E KL(pi* || Phi(E[eta | c_n]))",
        "The KL of an answer that knows only the code of the exact last belief: no belief trace can beat it.",
    ),
    Metric(
        "training_loss",
        "nats",
        "mean cross-entropy of a batch, per target",
        "The mean training loss since the last recorded step.",
        label="training loss",
        step="training steps done",
    ),
    Metric(
        "duplicate_rate",
        "fraction",
        "share of test questions that training may contain",
        "How many test questions of a length may also occur in training, because the length has too few to keep apart.",
    ),
    Metric(
        "trace_agreement",
        "fraction",
        "E [c_t = code(eta_t)]",
        "The share of written codes that state the exact belief.",
        step="step t of the trace; none: all steps together",
    ),
    Metric(
        "pointer_error",
        "fraction",
        "E [not right, and some code(step(c_{t-1}, v)) at TV <= 1/8; or a wrong copy or index]",
        "The share of written steps that come close to an exact update with a wrong observation, or copy a wrong one.",
    ),
    Metric(
        "update_error",
        "fraction",
        "E [neither code(step(c_{t-1}, x_t)) at TV <= 1/8 nor a pointer error]",
        "The share of written steps that are wrong and that no observation explains.",
    ),
    Metric(
        "pointer_share",
        "fraction",
        "pointer_error / (pointer_error + update_error)",
        "The share of wrong steps that a wrong observation explains; missing where no step is wrong.",
    ),
    Metric(
        "stride_step_right",
        "fraction",
        "E [c_t = code(Phi(E[eta | c_{t-k}], x_{t-k+1} .. x_t))], the start belief before the first",
        "The share of codes that are the exact k-step update of the code that the model itself wrote before.",
        step="step t of the trace",
    ),
    Metric(
        "table_questions",
        "questions",
        "max(U (log U + .577) k / n, C_n (log C_n + .577)), U = V^k C",
        "How many training questions show every k-step update of C codes by V symbols, and every last code.",
        step="stride k",
    ),
    Metric(
        "conditional_mse",
        "probability²",
        "E |p(X_i | X_j) - q|^2 / k, over pairs, directions and values of X_j, with k values of X_i",
        "The squared error of a variable's predicted distribution, given one other variable of the net.",
        step="distance between the two variables; none: all distances together",
        label="mean squared error",
        source="Prystawski et al. 2023",
    ),
)
