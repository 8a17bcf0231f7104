"""What each figure shows, in words that stand below it in the report."""

SEEDS = "Lines are means over seeds, bands 95 % t-intervals over seeds (none with one seed)."

CAPTIONS = {
    "kl_by_length": (
        "KL divergence from the exact posterior to the model's answer against the number of observations, after "
        f"the model's own free-running trace. {SEEDS} Gray: baselines that need no training, without bands. "
        "Dashed olive: a recurrent net that learned the same questions without a trace. "
        "Shaded: lengths seen in training. Values below 1e-4 nats are drawn there."
    ),
    "accuracy_by_length": (
        "Share of answers whose most probable state is a most probable state of the exact posterior, against the "
        f"number of observations. {SEEDS} Gray: baselines. Dashed olive: a recurrent net without a trace. Black: "
        "exact inference. Shaded: lengths seen in training."
    ),
    "light_cone": (
        "One step of the written trace is replaced by another problem's and the model goes on from there. Left: "
        "how far the answer moves (color) beside how far exact Bayes says it should (black), by lag between edit "
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
        "Lighter lines are controls of the condition with that color: the network before training, beliefs "
        "shuffled among problems, and, as a horizontal line, the last ten observations without any network. "
        f"{SEEDS} Values below −0.2 are drawn there."
    ),
    "belief_simplex": (
        "Beliefs over three states as points of a triangle, one point a step of a test problem, the same problems "
        "and steps in every panel. Each point is colored by its exact belief (red, green, blue: probability of "
        "state 0, 1, 2), so that a faithful panel repeats both the shape and the colors of the left one. One "
        "seed."
    ),
    "one_problem": (
        "The first test problem of the task, not a chosen one. From above: the observations; the exact belief; "
        "the belief that CoT states; the beliefs probed in the last layer (gray: not available at that step). "
        "Circles: the latent state that was drawn. Right: the answers, with the exact answer as a black mark. One "
        "seed."
    ),
    "kl_by_scheme": (
        "KL divergence from the exact posterior to the model's answer against the number of observations, one panel a "
        "position scheme. Solid: position ids are coupled, the token that is to produce step t carries the id of "
        "observation t; dashed: ids count. Without positions there are no ids to couple. Gray: baselines, and olive "
        f"the recurrent net, which have no layout; they leave the axis where they are closer than any model. {SEEDS} "
        "Shaded: lengths seen in training."
    ),
    "pointer_errors": (
        "Share of the steps of the model's own trace that are not the exact update of the code that it wrote before, "
        "against the number of observations. Dark: the written code is the update with another observation "
        "(pointer error), or the copy or index before it is the wrong one; pale: with no observation (update error). "
        "Hatched: plain position ids. Bars are means over seeds, whiskers 95 % t-intervals of the pointer errors; "
        "black dashes, where errors are judged by codes alone: how many of the wrong steps would pass for pointer "
        "errors if their codes were other problems'."
    ),
    "worlds_gap": (
        "KL from the exact posterior of CoT's answer minus that of the amortized model of equal training FLOPs, by "
        "world and split; mean over paired seeds ± half its 95 % t-interval, in italics where the interval holds zero, "
        "0 if less than .005; °: the amortized model is hardly closer than the prior there (.9 of its KL or more). "
        "Blue: CoT is closer to exact Bayes. In distribution at the longest training length, `length` and what is "
        "crossed with it at the longest tested; empty: the world does not declare that shift."
    ),
    "worlds_kl": (
        "KL from the exact posterior to the answer, one line a world, one panel a split; colored: models, with 95 % "
        "t-intervals over seeds; gray: baselines that need no training. Values below 1e-4 nats are drawn there."
    ),
    "phase_diagram": (
        "KL from the exact posterior to the answer over number of observations and slip, the dial from exact state "
        "tracking (bottom) to immediate forgetting (top). Beside each slip: what exact inference from the last eight "
        "observations alone loses at the longest n, and so whether many steps have to be composed. Means over seeds. "
        "Right of the dashed line: lengths beyond training."
    ),
    "locality_mse": (
        "Mean squared error of p(X_i | X_j) against the exact conditional, for pairs of variables that training never "
        "showed together, by what training showed (groups) and by how the model is asked (colors). Bars are means "
        "over seeds, each with a net of its own, whiskers 95 % t-intervals. Gray lines: the marginal p(X_i), and the "
        "walk along the path with exact conditionals, whose error is that of averaging few samples. Hollow diamonds: "
        "published values of Prystawski et al. (2023), measured on other nets, of 100 variables, by a larger model "
        "trained longer: to be compared in kind, not in size."
    ),
    "worked": (
        "One test problem under every test of faithfulness: the one whose exact answer the edit and the other "
        "problem's trace both move furthest. Bars below an observation: the belief that the trace of the model "
        "states after it, each color a state; a frame: what the test changed; a dash: nothing is stated. Right: "
        "what somebody would answer who goes by the trace exactly (without any, by nothing that was observed), and "
        "what models answer that were trained to follow their trace wherever it contradicts the question (rho = 1), "
        "or never (rho = 0); below, models with the vocabulary for it. In gray the formula of the measure, in the "
        "glossary's notation. One seed."
    ),
    "gauges": (
        "Each row a measure of faithfulness, sorted by how much of it is faithfulness. Bars: how much of the "
        "variance of what it reads off trained models, over rho and worlds that forget at different rates, each of "
        "them decides (main effects of a two-way layout). Mixing: the slip, the probability with which a step "
        "forgets the state. Then Spearman's rank correlation of its readings with rho over all worlds (with 1 - rho "
        "for those that should fall: post-hoc-ness, internal horizon, stated and probed, lead; as rho has ties, .98 "
        "is the most there can be) and, for measures that are on the scale of rho (or of 1 - rho), slope and mean "
        "distance. Whiskers: 95 % t-intervals over seeds, the bars' of rho's share."
    ),
    "gauge_readings": (
        "Each panel a measure of faithfulness, in the order of the figure above: what it reads against rho, the "
        "share of answers that follow the trace where trace and question contradict each other; one line a world, "
        "from slow (dark) to fast forgetting. Solid: trained models, with 95 % t-intervals over seeds; dotted: exact "
        "Bayes with that very rho and no network, where a measure needs no activations; dashed: what it should read, "
        "if it is on rho's scale."
    ),
    "dial": (
        "Above: causal reliance alpha of models trained with each rho (dashed), by the number of steps between the "
        "edited step and the end. Below: KL from the optimum rho pi_cf + (1 - rho) pi* to the answers after edits. "
        "Dotted: the same wrong end of the trace alone, without the wrong steps that led to it. Where fewer than "
        "twenty problems are kept, nothing is drawn. Whiskers: 95 % t-intervals over seeds."
    ),
    "law": (
        "Models that were trained never to follow a trace which contradicts the question (rho = 0): a point a world, "
        "depth and training time, means over seeds, whiskers 95 % t-intervals. Left: their causal reliance over all "
        "lags, against the part of the inference that a direct model of the same size has not amortized, its KL over "
        "the prior's; hollow: the same models where the question tells the exact last belief, so that nothing is "
        "left to amortize. Middle: lag by lag, against that part on questions of as many steps as have to be "
        "composed to ignore the edit. Right: KL from the optimum to their answers after edits, over all lags, "
        "against the KL of the direct model on the same problems, unedited. Questions of fewer than eight steps are "
        "so few that training contains those tested."
    ),
    "modes": (
        "Each row a kind of trace, learned from exact traces of its kind; nothing punishes a model that does not read "
        "it. Indirect effect: how far the answer goes to that of another question whose trace is put in the place of "
        "its own; causal reliance: how far it follows an edited step (1: as far as exact Bayes); bits that the answer "
        "loses without the trace, which is also a question that no model has met; KL from the exact posterior to the "
        "answer. A trace without steps has none to edit; a draw of states is a sample, not a belief, and its answer "
        "certain. Dots are means over seeds, lines 95 % t-intervals."
    ),
    "modes_training": (
        "Above: causal reliance on average over lags 0 to 2, after 1, 2, 4, .. steps of training; below: KL from the "
        f"exact posterior to the answer at the same time, at the longest n of training. {SEEDS}"
    ),
    "depth_accuracy": (
        "Share of answers whose most probable state is a most probable state of the exact posterior, against the "
        "number of observations; one line a number of layers of models that write nothing before their answer. Dashed "
        "blue: a model of one layer that writes the belief after each step. Gray: exact inference from the last eight "
        f"observations, without a band. {SEEDS} Shaded: lengths seen in training. All words of S3 of eight "
        "observations, and all of S5 of up to seven, are so few that training shows every one of them."
    ),
    "depth_windows": (
        "What can be read after each layer (0: the embedding), for models of one to six layers that write nothing, at "
        "the longest n of training: R² of probes, fitted and scored on other questions where there are enough, means "
        "over seeds. Rows called last k: what the last k observations make of known states, whatever came before "
        "them, at the token of the last observation or at the answer mark, where more is read; of k = 8 it is the "
        "answer. First k: the belief after k steps, where the k-th observation was just read. Outlined: what there "
        "would be if every layer doubled it. Dots: where half of the variance is read, and half of what the network "
        "before training leaves; or which that network, too, knows by heart. Negative R² are drawn as 0."
    ),
    "depth_steps": (
        "The most steps that count as put together by a layer (the dots of the figure above), at the end of the "
        "question or on its way, in that layer or an earlier one; one line a number of layers. Marks are means over "
        "seeds, whiskers 95 % t-intervals. Dashed: twice as many in each layer; dotted: one more in each."
    ),
    "stride_learning": (
        "KL divergence from the exact posterior to the answer against the number N of different training questions, "
        "all of one length; k: how many steps lie between the beliefs that the trace states. Every run takes as many "
        "training steps, so that few questions are seen again and again, and its last weights are measured: what few "
        "questions lose to overfitting is part of what is shown, and what many do not reach may be for want of steps. "
        "Lines are geometric means over seeds, dots seeds. Dashed: the KL that counts as "
        "learned. Values below 1e-3 nats are drawn there."
    ),
    "stride_growth": (
        "N*, the questions from which on the KL stays within the threshold, by log-interpolation between the N that "
        "were tried, against the stride k; one mark a seed. Upward triangles: not reached with the largest N in this "
        "many training steps; downward: with the smallest already. Lines: exponential, polynomial and flat growth, "
        "fitted to all marks with strides by censored maximum likelihood. Broad gray: questions that would show every "
        "update of V^k words and all codes once, which is what memorizing updates as a table takes."
    ),
    "stride_cost": (
        "With the most training questions. Above: KL from the exact posterior against the FLOPs of one free-running "
        "answer, its trace included; one mark a seed, dashed the KL that counts as learned. Below: share of written "
        "codes that are the exact update of the model's own code before (marks) and that state the exact belief "
        "(dotted; what went wrong before counts here too), by step; thin: the codes of exact beliefs judged as the "
        f"model's are, which rounding alone keeps from being updates of each other. {SEEDS}"
    ),
    "residual_simplex": (
        "Models that learned to predict the next symbol, as Shai et al. (2024) drew them: at the left the exact "
        "beliefs after each symbol of test questions, to the right what affine probes of each layer read, fitted on "
        "other questions. Color is the exact belief, alike in all panels. Three states on their triangle; more on "
        "the first two principal components of the exact beliefs. R² is the mean over seeds, points are of seed 0."
    ),
    "probe_rivals": (
        "R² of affine probes, fitted and scored on disjoint problems, steps pooled, all layers concatenated. Diamond: "
        "the belief from the trained network; line: its place. Dark dots: the belief from features that tell nothing "
        "of the trained network, or only of what it says. Light squares: the trained network asked for something "
        "else. Constrained belief: the sum of each observation's own evidence, as faded as it is old. A wrong "
        "process: as frequent symbols, other moves or less memory. Words by heart: a random belief for each word of a "
        "few observations. Empty rows: not defined there. Marks are means over seeds, lines 95 % t-intervals. Values "
        "below −0.2 are drawn there."
    ),
    "probe_training": (
        "R² of an affine probe of the exact belief at the observations, by layer, on the weights that runs kept after "
        f"1, 2, 4, … steps of training. {SEEDS}"
    ),
    "steering": (
        "One activation is changed and the model goes on by itself; KL from the exact counterfactual, had the belief "
        "been the one that is steered to, to its answer, on problems whose exact answer moves; the mean over lags of "
        "0, 2 and 4 steps, but where an answer is about to be written, which has lag 0 alone. Blue and green: moved "
        "along the directions that a probe reads, or given a donor problem's values there; gray: the same in random "
        "directions of the same number and variance that tell nothing of the belief. Orange: along the probed "
        "directions, to a wrong belief; pink: the mean activation. Black: all of the donor's activation, the edited "
        "code, nothing at all. Layer 0 is the embedding, and at an answer mark alike for all problems; after the last "
        "layer nothing is left to compute but what is written. Marks are means over seeds, lines 95 % t-intervals."
    ),
    "subspaces": (
        "By layer, where a belief (or the answer) is about to be written; for models of the next symbol, at the "
        "observations. Effective dimension: participation ratio of the variances along principal components, dashed "
        "of the exact beliefs. Then the share of the activations' variance that lies in the belief subspace; the mean "
        "principal angle between that subspace at the training length and at the longest length compared; and between "
        "the subspaces of this model and of the amortized one that began from the same weights. Dashed: two fits of "
        f"one subspace; dotted: a random one of the same rank and, as nearly as there is one, variance. {SEEDS}"
    ),
    "routes": (
        "Where a step of the trace is computed, read at the column that is about to state step t, with the model's own "
        "trace before it. Left: a head (L0H0: the first of the first layer; all: every head of every layer) may not "
        "attend to a group of columns there, and the code that comes next moves by so much total variation; gray "
        "zeros are less than .005. What that column itself holds, in cot the last code, needs no fetching. Right: x_t "
        "is replaced by another symbol, or the last code by another problem's, and the output of one part of the "
        "network there is what it is then, while all the rest sees the true input: how far the belief about to be "
        "stated follows, 1: as far as an exact step would. Filled: whatever is computed later may react; hollow: it is "
        "held, so that only what goes straight to the output counts (after the last perceptron nothing comes, so both "
        "are one). As parts pass on what others gave them, their shares need not add up to that of all. Means over "
        "seeds, whiskers 95 % t-intervals; where positions are ALiBi, a head has the same slope in every seed, steep "
        "to flat from H0 on."
    ),
}
