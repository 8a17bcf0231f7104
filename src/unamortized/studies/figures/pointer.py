"""Figures of the study of pointers: the reach of CoT by position scheme, and the kinds of its errors."""

import pandas as pd

from unamortized.studies.figures.charts import Curves, Dots
from unamortized.studies.names import AMORTIZED, COT

COUPLED, PLAIN = "coupled ids", "plain ids"
LAYOUTS = {  # variant -> scheme, ids; a model without positions does not see ids
    "alibi_coupled": ("ALiBi", COUPLED),
    "alibi_plain": ("ALiBi", PLAIN),
    "rotary_coupled": ("rotary", COUPLED),
    "rotary_plain": ("rotary", PLAIN),
    "learned_coupled": ("learned", COUPLED),
    "learned_plain": ("learned", PLAIN),
    "randomized_coupled": ("randomized", COUPLED),
    "randomized_plain": ("randomized", PLAIN),
    "none": ("no positions", PLAIN),
}
SCHEMES = ("ALiBi", "rotary", "learned", "randomized", "no positions")
OWN = ("alibi_coupled", "alibi_plain")  # the layouts that every kind of trace has
COPIED, INDEXED = "cot_copied", "cot_indexed"
KINDS = {COPIED: ", observations copied", INDEXED: ", observations numbered"}
CHANCE, CODES_ONLY = "exchanged_codes", "codes_only"


def with_layout(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``scheme`` and ``ids``; drop rows without a layout."""
    rows = rows[rows["variant"].isin(LAYOUTS)]
    scheme, ids = ([LAYOUTS[variant][part] for variant in rows["variant"]] for part in (0, 1))
    return rows.assign(scheme=scheme, ids=ids)


def with_trace(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``scheme``, ``ids`` and ``trace``: the scheme, and the kind of trace where it is not plain CoT."""
    rows = with_layout(rows)
    pairs = zip(rows["scheme"], rows["condition"], strict=True)
    return rows.assign(trace=[scheme + KINDS.get(condition, "") for scheme, condition in pairs])


FIGURES = (
    Curves(
        name="kl_by_scheme",
        title="Which position schemes let CoT reach beyond the lengths seen in training?",
        caption="CoT reaches n = 64 only with coupled ids and ALiBi; with plain ids it fails even within training "
        "lengths, whatever the scheme. Without a trace, ids hardly matter.",
        metrics=("answer_kl",),
        where={"condition": (COT, AMORTIZED), "variant": tuple(LAYOUTS), "scheme": SCHEMES, "ids": (COUPLED, PLAIN)},
        prepare=with_layout,
        panel="ids",
        row="condition",
        line="scheme",
        x="n_steps",
        floor=1e-2,
        size=(3.4, 2.5),
    ),
    Curves(
        name="kl_by_trace",
        title="Under ALiBi, do copied or numbered observations restore the reach?",
        caption="With coupled ids every trace stays close to exact Bayes; with plain ids neither copying nor "
        "numbering the observations helps beyond the shortest questions.",
        metrics=("answer_kl",),
        where={"condition": (COT, COPIED, INDEXED, AMORTIZED), "variant": OWN, "ids": (COUPLED, PLAIN)},
        prepare=with_layout,
        panel="ids",
        x="n_steps",
        floor=1e-2,
        size=(3.6, 2.8),
    ),
    Curves(
        name="pointer_errors",
        title="How often is a step of CoT's trace updated with the wrong observation?",
        caption="With plain ids the share of steps with a wrong observation (solid) grows with length under every "
        "scheme; updates are hardly ever wrong (dashed).",
        metrics=("pointer_error", "update_error"),
        where={"condition": (COT,), "variant": tuple(LAYOUTS), "scheme": SCHEMES, "ids": (COUPLED, PLAIN)},
        names={"pointer_error": "wrong observation", "update_error": "wrong update"},
        prepare=with_layout,
        panel="ids",
        line="scheme",
        dash="metric",
        x="n_steps",
        limits=(-0.02, 0.8),
        label="steps of the trace  [fraction]",
        size=(3.6, 2.8),
    ),
    Dots(
        name="pointer_share",
        title="What share of wrong steps at n = 64 does a wrong observation explain?",
        caption="Where wrong steps are frequent, a wrong observation explains nearly all of them, more than the codes "
        "of other problems would by chance; with coupled ids and ALiBi wrong steps are rare.",
        metrics=("pointer_share",),
        where={
            "condition": (COT, COPIED, INDEXED),
            "variant": tuple(LAYOUTS),
            "control": ("", CODES_ONLY, CHANCE),
            "n_steps": (64,),
            "ids": (COUPLED, PLAIN),
            "trace": (*SCHEMES, *(SCHEMES[0] + kind for kind in KINDS.values())),
        },
        names={("control", ""): "measured", CODES_ONLY: "judged by codes alone", CHANCE: "codes of other problems"},
        prepare=with_trace,
        panel="ids",
        line="control",
        y="trace",
        limits=(-0.03, 1.03),
        label="pointer errors / wrong steps",
        size=(3.2, 0.0),
    ),
)
