"""Values found among rows by their columns."""

from typing import Any


def values(rows: list[dict[str, Any]], metric: str, **where: Any) -> list[float]:
    """The values of a metric in rows with these columns; text columns that are not given must be empty."""
    where = {"control": "", "variant": "", "site": "", "layer": "", "step": None} | where
    return [
        row["value"]
        for row in rows
        if row["metric"] == metric and all(row[column] == wanted for column, wanted in where.items())
    ]


def value(rows: list[dict[str, Any]], metric: str, **where: Any) -> float:
    """The one value that ``values`` finds."""
    (found,) = values(rows, metric, **where)
    return found
