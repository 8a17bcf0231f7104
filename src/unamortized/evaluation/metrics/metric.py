"""What a metric is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A measured quantity, as the glossary prints it."""

    name: str
    unit: str
    formula: str
    description: str
