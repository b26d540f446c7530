"""Printed tables beside the same tables from a panel: cells, the job that computes them, and their words."""

from cbec_bayes.replication.cells import NOT_PRINTED, Cell, cell_reading, has_stars, stars_of
from cbec_bayes.replication.shown import label_of, match_sentence, shown_cell, shown_tables
from cbec_bayes.replication.tables import (
    REPLICATION_COLUMNS,
    Replication,
    observed_rows,
    paper_columns,
    printed_coefficients,
    printed_numbers,
    replicate,
)

__all__ = [
    "NOT_PRINTED",
    "REPLICATION_COLUMNS",
    "Cell",
    "Replication",
    "cell_reading",
    "has_stars",
    "label_of",
    "match_sentence",
    "observed_rows",
    "paper_columns",
    "printed_coefficients",
    "printed_numbers",
    "replicate",
    "shown_cell",
    "shown_tables",
    "stars_of",
]
