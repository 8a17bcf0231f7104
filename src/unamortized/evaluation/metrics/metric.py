"""A metric: everything that captions, glossary, tables and docs say of a measured quantity, said once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A measured quantity."""

    name: str
    unit: str
    formula: str
    description: str  # one plain sentence
    step: str = ""  # what the column ``step`` counts; empty where the metric has no steps
    label: str = ""  # on an axis; the name where it is empty
    source: str = ""  # who published it

    @property
    def axis(self) -> str:
        """The label of an axis, with the unit in brackets."""
        label = self.label or self.name.replace("_", " ")
        return label if self.unit == "ratio" else f"{label}  [{self.unit}]"
