"""Tables as papers of many fields and as many programs print them: read cell by cell, cleared, and caught in a fault.

Each file has the layout of its program around numbers of our own, from regressions of simulated data, so that a clean
table is coherent. cases/fields.txt is what a careful reader writes down, a line per column.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbec_bayes.published.audit import audit
from cbec_bayes.published.reading.tables import Asked
from cbec_bayes.published.reading.tidy import ReadPaper, read_printed

FIELDS = Path(__file__).parent / "cases" / "fields"
SHORT = {
    "parenthesis": "",
    "t_statistic": "t",
    "p_value": "p",
    "ci_low": "low",
    "ci_high": "high",
    "n_obs": "N",
    "r2": "R2",
    "r2_adjusted": "adj",
    "r2_within": "within",
}
READ = {
    name: reading.strip()
    for name, _, reading in (
        part.partition("\n") for part in FIELDS.with_suffix(".txt").read_text(encoding="utf-8").split("## ")[1:]
    )
}
"""Name of a file to what stands in it."""
PLANTED = [
    ("aer.txt", "0.197 *", "0.197 **", "reading"),
    ("apa.txt", "2.75\t.006", "3.75\t.006", "t_against_se"),
    ("apa.txt", "[0.05, 0.33]", "[0.19, 0.33]", "interval_against_se"),
    ("chinese.txt", "(-3.85)", "(3.85)", "reading"),
    ("chinese.txt", "0.162**", "0.162***", "reading"),
    ("esttab.tex", "0.067", "0.167", "r2_nested"),
    ("esttabwide.csv", '0.162*"', '0.162***"', "reading"),
    ("esttabwide.csv", "(-3.85)", "(3.85)", "reading"),
    ("fixest.tex", "0.25819", "0.29819", "r2_nested"),
    ("french.txt", "0,067", "0,167", "r2_nested"),
    ("french.txt", "0,162**", "0,162***", "reading"),
    ("german.txt", "2,753", "3,753", "t_against_se"),
    ("huxreg.txt", "0.162 *  ", "0.162 ***", "reading"),
    ("medical.txt", "(0.40–0.76)", "(0.60–0.76)", "middle_of_interval"),
    ("outreg2.txt", "0.162**", "0.162***", "reading"),
    ("outreg2.txt", "(0.0696)", "(0.192)", "reading"),
    ("pyfixest.md", "0.145* ", "0.145***", "reading"),
    ("pyfixest.tex", "0.258", "0.298", "r2_nested"),
    ("rsummary.txt", "0.06961 ", "0.03961 ", "p_against_t"),
    ("sjplot.html", "0.05 &ndash; 0.33", "0.25 &ndash; 0.33", "middle_of_interval"),
    ("smsummary.txt", "-0.386", "-0.186", "middle_of_interval"),
    ("stargazer.tex", "{0.067}", "{0.167}", "r2_nested"),
    ("statafull.txt", "0.011", "0.001", "p_against_t"),
    ("summarycol.txt", "0.162** ", "0.162***", "reading"),
    ("texreg.txt", "0.10   ", "0.10 **", "reading"),
    ("texregci.txt", "0.10  ", "0.30  ", "middle_of_interval"),
    ("tinytable.txt", "0.097   ", "0.097***", "interval_against_stars"),
]
"""File, what stands there, a star too many or a number that cannot be, and the check that says so."""


def read(name: str, text: str = "") -> ReadPaper:
    path = FIELDS / name
    content = text.encode() if text else path.read_bytes()
    return read_printed(content, path.suffix, name, Asked())


def written(paper: ReadPaper) -> str:
    """Write a reading down: per table its conventions, and per column its cells."""
    lines = []
    for table in paper.tables:
        levels = " ".join(f"{star}{level}" for star, level in table.said.stars.items())
        lines.append(" ".join(filter(None, (f"Table {table.table}:", table.reading or "-", levels))))
        for column in dict.fromkeys(row.column for row in table.rows):
            own = [row for row in table.rows if row.column == column]
            cells = [
                f"| {row.term} {row.printed}{row.stars}"
                if row.quantity == "estimate"
                else f"({row.printed})"
                if row.quantity == "parenthesis"
                else f"{SHORT.get(row.quantity, row.quantity)} {row.printed}"
                for row in own
            ]
            lines.append(" ".join([column, *cells]))
    return "\n".join(lines)


@pytest.mark.parametrize("name", sorted(READ))
def test_a_table_is_read_as_a_careful_reader_reads_it(name):
    assert written(read(name)) == READ[name]


@pytest.mark.parametrize("name", sorted(READ))
def test_a_clean_table_is_not_accused(name):
    assert audit(read(name).paper()).faults() == ()


@pytest.mark.parametrize(("name", "clean", "faulty", "check"), PLANTED)
def test_a_planted_fault_is_found(name, clean, faulty, check):
    text = (FIELDS / name).read_text()
    assert clean in text
    assert check in [one.check for one in audit(read(name, text.replace(clean, faulty, 1)).paper()).faults()]


def test_every_table_is_read():
    assert {path.name for path in FIELDS.iterdir()} == set(READ) == {name for name, *_ in PLANTED}
