"""The glossary: names, units and formulas of all metrics, as code, tables and reports call them."""

from unamortized.evaluation.glossary.answers import ANSWERS
from unamortized.evaluation.glossary.faithfulness import FAITHFULNESS
from unamortized.evaluation.glossary.inside import INSIDE
from unamortized.evaluation.glossary.metric import Metric

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*ANSWERS, *FAITHFULNESS, *INSIDE)}

__all__ = ["METRICS", "Metric"]
