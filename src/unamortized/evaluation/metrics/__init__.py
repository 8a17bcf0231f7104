"""The glossary: names, units and formulas of all metrics, as code, tables and reports call them."""

from unamortized.evaluation.metrics.answers import ANSWERS
from unamortized.evaluation.metrics.faithfulness import FAITHFULNESS
from unamortized.evaluation.metrics.inside import INSIDE
from unamortized.evaluation.metrics.metric import Metric

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*ANSWERS, *FAITHFULNESS, *INSIDE)}

__all__ = ["METRICS", "Metric"]
