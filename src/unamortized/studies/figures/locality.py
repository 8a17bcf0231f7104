"""Figures of the study of locality: the error on pairs never seen together, beside the published one."""

import math

import pandas as pd

from unamortized.labels import display
from unamortized.studies.figures.charts import Dots

WINDOWS = ("local_windows", "wrong_local_windows", "full_windows")
ESTIMATORS = {"direct": "#D55E00", "negative_scaffold": "#E69F00", "free": "#56B4E9", "scaffolded": "#0072B2"}
BASELINES = {"marginal": "#8A8A8A", "exact_scaffolded": "#333333"}
HERE, PUBLISHED = "measured here", "Prystawski et al. 2023 (other nets, larger model)"

# Mean squared error to the true conditional on held-out pairs, from the tables released with the paper (ten nets,
# geometric windows); for wrong windows the paper gives only the size that all estimators share.
PUBLISHED_ERRORS = {
    ("local_windows", "direct"): 0.027,
    ("local_windows", "negative_scaffold"): 0.027,
    ("local_windows", "free"): 0.014,
    ("local_windows", "scaffolded"): 0.016,
    ("full_windows", "direct"): 0.035,
    ("full_windows", "negative_scaffold"): 0.039,
    ("full_windows", "free"): 0.036,
    ("full_windows", "scaffolded"): 0.026,
    **{("wrong_local_windows", estimator): 0.07 for estimator in ESTIMATORS},
}


def beside_published(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``windows``, ``estimator`` and ``source``, and rows of published errors; distances are pooled."""
    rows = rows[rows["step"].isna()]
    untrained = rows["condition"].isin(BASELINES)
    own = rows.assign(
        windows=rows["condition"].mask(untrained, "none"),
        estimator=rows["variant"].mask(untrained, rows["condition"]),
        source=HERE,
    )
    first = own[~untrained].drop_duplicates(["task", "windows", "estimator", "split"])
    pairs = zip(first["windows"], first["estimator"], strict=True)
    published = first.assign(value=[PUBLISHED_ERRORS.get(pair, math.nan) for pair in pairs], source=PUBLISHED, run="")
    return pd.concat([own, published])


FIGURES = (
    Dots(
        name="locality_mse",
        title="Do intermediate steps help where experience was local?",
        caption="After local windows, estimates that walk the path (blue) are more accurate than direct ones "
        "(orange), as published; after wrong or full windows steps help little or not at all.",
        metrics=("conditional_mse",),
        where={
            "split": ("composition",),
            "windows": (*WINDOWS, "none"),
            "estimator": (*ESTIMATORS, *BASELINES),
            "variant": (*ESTIMATORS, ""),
            "source": (HERE, PUBLISHED),
        },
        names={
            **{name: display(name).removesuffix(" windows") for name in WINDOWS[:2]},
            WINDOWS[2]: "full",
            "none": "no training",
            "negative_scaffold": "scaffolded, unrelated variables",
            "scaffolded": "scaffolded: steps along the path",
            "free": "free: the model picks its steps",
            "direct": "direct: no steps",
            "marginal": "marginal, no evidence used",
            "exact_scaffolded": "exact step by step, few samples",
        },
        prepare=beside_published,
        panel="source",
        line="estimator",
        y="windows",
        styles={name: {"color": color} for name, color in (ESTIMATORS | BASELINES).items()},
        limits=(0.0, None),
        size=(3.8, 2.8),
    ),
)
