"""Every finding on the paper, and on tables changed in one place, word for word: the audit's sentences are its result.

`python -m tests.published.test_audit_golden` writes the golden file anew; the difference is then read, line by line.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from cbec_bayes.panel.study import load_study
from cbec_bayes.published.audit import COLUMNS, audit, readings_frame
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.replication import observed_rows
from cbec_bayes.runtime.files import asset_dir
from tests.support.printed_tables import HEADER, HONEST_TOML, honest_rows

GOLDEN = Path(__file__).parents[1] / "golden" / "audit.json"
PAPER = asset_dir("data") / "published" / "cbec_circulation"
Row = tuple[str, ...]
"""Table, column, term, quantity, printed, stars."""


def paper_rows() -> list[Row]:
    found: list[Row] = []
    for path in sorted(PAPER.glob("table[234].csv")):
        with path.open(encoding="utf-8") as lines:
            names = HEADER.strip().split(",")
            found += [tuple(row[name] for name in names) for row in csv.DictReader(lines)]
    return found


def put(place: Row, printed: str | None, stars: str | None = None) -> Callable[[list[Row]], list[Row]]:
    """Return what prints something else in one place, or nothing."""

    def change(rows: list[Row]) -> list[Row]:
        (at,) = (k for k, row in enumerate(rows) if row[:4] == place)
        new = [] if printed is None else [(*place, printed, rows[at][5] if stars is None else stars)]
        return [*rows[:at], *new, *rows[at + 1 :]]

    return change


def add(*new: Row) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [*rows, *new]


def said(old: str, new: str) -> Callable[[str], str]:
    """Return what changes paper.toml."""

    def change(toml: str) -> str:
        assert old in toml
        return toml.replace(old, new)

    return change


def chained(*names: str) -> Callable[[str], str]:
    """Return several changes of paper.toml, one after the other."""

    def change(toml: str) -> str:
        for name in names:
            toml = OF_TOML[name](toml)
        return toml

    return change


EAST = ("4", "East")
Change = Callable[[list[Row]], list[Row]]
OF_TOML: dict[str, Callable[[str], str]] = {
    "said to be p-values": said('claimed_reading = "se"', 'claimed_reading = "p"'),
    "said to be t statistics": said('claimed_reading = "se"', 'claimed_reading = "t"'),
    "no scheme": said('scheme = "four_regions"\n', ""),
    "another scheme": said("four_regions", "three_regions"),
    "no unit excluded": said('excluded = ["Tibet"]\n', ""),
    "no periods": said("periods = 8\n", ""),
    "no units": said("units = 30\n", ""),
    "no outcome": said('[outcome]\nterm = "ci"', ""),
    "no groups": said('"4: East" = "east"\n"4: Central" = "central"\n"4: West" = "west"\n', ""),
    "one group named wrongly": said('"4: West" = "west"', '"4: West" = "north-east"'),
    "other stars": said('"**" = "0.05"', '"**" = "0.02"'),
    "a partition of the panel": said('whole = "3: (2)"\n', ""),
    "another partition": said('parts = ["4: East", "4: Central", "4: West"]', 'parts = ["4: East", "4: West"]'),
}
OF_TOML |= {
    "nothing known of the panel": chained("no units", "no periods", "no scheme", "no groups"),
    "nothing known of units, nor a whole": chained("no units", "no scheme", "no groups", "a partition of the panel"),
    "no periods, nor a whole": chained("no periods", "a partition of the panel"),
}
OF_ROWS: dict[str, Change] = {
    "R2 at the border": put(("4", "Central", "", "r2"), "0.989"),
    "rows too many": put((*EAST, "", "n_obs"), "88"),
    "rows beyond the panel": put((*EAST, "", "n_obs"), "148"),
    "rows all there": put((*EAST, "", "n_obs"), "104"),
    "rows not printed": put((*EAST, "", "n_obs"), None),
    "clusters": add((*EAST, "", "clusters", "11", "")),
    "constant as expected": put((*EAST, "constant", "estimate"), "13.530"),
    "sign of an estimate": put((*EAST, "cbec", "estimate"), "-0.22"),
    "estimate of zero": put((*EAST, "cbec", "estimate"), "0.00"),
    "estimate of zero without stars": put((*EAST, "cbec", "estimate"), "0.00", ""),
    "a parenthesis of zero": put((*EAST, "cbec", "parenthesis"), "0.000"),
    "a parenthesis above one": put((*EAST, "cbec", "parenthesis"), "2.400"),
    "a standard error that fits": put((*EAST, "cbec", "parenthesis"), "0.090"),
    "a standard error on the border": put((*EAST, "cbec", "parenthesis"), "0.1"),
    "no stars": put((*EAST, "cbec", "estimate"), "0.22", ""),
    "no parenthesis": put((*EAST, "cbec", "parenthesis"), None),
    "R2 that falls": put(("3", "(2)", "", "r2"), "0.980"),
    "R2 that may fall": put(("3", "(2)", "", "r2"), "0.986"),
    "R2 below zero": put(("3", "(2)", "", "r2"), "-0.2"),
    "R2 above one": put(("3", "(2)", "", "r2"), "1.2"),
    "R2 of one": put((*EAST, "", "r2"), "1.000"),
    "R2 of the parts low": put(("3", "(2)", "", "r2"), "0.999"),
    "R2 not printed": put((*EAST, "", "r2"), None),
    "R2 within": add(("3", "(1)", "", "r2_within", "0.3", ""), ("3", "(2)", "", "r2_within", "0.2", "")),
    "R2 adjusted": add(("3", "(1)", "", "r2_adjusted", "-0.3", ""), ("3", "(2)", "", "r2_adjusted", "1.1", "")),
    "other effects": add(("3", "(1)", "", "unit_effects", "no", "")),
    "other regressors in a part": add(
        (*EAST, "more", "estimate", "0.1", ""), (*EAST, "more", "parenthesis", "0.1", "")
    ),
    "other rows in a column": put(("3", "(1)", "", "n_obs"), "232"),
    "a mean out of range": put(("2", "Mean", "ci", "mean"), "9.9"),
    "a deviation too large": put(("2", "Standard Deviation", "ci", "sd"), "9.9"),
    "a deviation too small": put(("2", "Standard Deviation", "ci", "sd"), "0.01"),
    "no deviation": put(("2", "Standard Deviation", "ci", "sd"), None),
    "no mean": put(("2", "Mean", "ci", "mean"), None),
    "no minimum of a regressor": put(("2", "Minimum", "lngdp", "min"), None),
    "a minimum above the maximum": put(("2", "Minimum", "ci", "min"), "90"),
    "no count of moments": put(("2", "Observation", "ci", "n_obs"), None),
    "other count of moments": put(("2", "Observation", "ci", "n_obs"), "60"),
    "one row of moments": put(("2", "Observation", "ci", "n_obs"), "1"),
    "two rows of moments": put(("2", "Observation", "ci", "n_obs"), "2"),
}


READING_COLUMNS = (
    *("table", "column", "term", "estimate", "parenthesis", "stars", "df", "se", "p", "t", "coherent"),
    *("implied_se_low", "implied_se_high", "origin"),
)
WITH_CONTROLS = ("R2 not printed", "constant as expected", "no minimum of a regressor", "rows too many")
"""Changes that are tried with observed controls too."""


def load_printed(folder: Path, rows: list[Row], toml: str) -> Paper:
    """Return printed tables, written to a folder first."""
    with (folder / "tables.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([HEADER.strip().split(","), *rows])
    (folder / "paper.toml").write_text(toml, encoding="utf-8")
    return load_paper(folder)


def texts(frame: pd.DataFrame) -> list[list[str]]:
    """Return rows as texts, numbers with every digit."""
    rows = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    return [[repr(float(one)) if isinstance(one, float) else str(one) for one in row] for row in rows]


def findings(folder: Path, rows: list[Row], toml: str) -> list[list[str]]:
    """Return every finding, and every line of the table of readings."""
    paper = load_printed(folder, rows, toml)
    found, readings = audit(paper).frame(), readings_frame(paper)
    for frame, names in ((found, COLUMNS), (readings, READING_COLUMNS)):
        assert tuple(frame.columns) == names
        assert frame[["table", "column", "term", "origin"]].notna().all(axis=None)
    assert found["quantity"].notna().all()
    return texts(found) + texts(readings.assign(check="readings_frame"))


def with_controls(paper: Paper, controls: Mapping[str, pd.DataFrame]) -> list[list[str]]:
    """Return the findings that observed controls add."""
    return [row for row in texts(audit(paper, controls).frame()) if row[3] == "constant_conventions"]


Findings = dict[str, list[list[str]]]


def all_findings(folder: Path) -> Iterator[tuple[str, Findings]]:
    """Yield what each change adds and removes, against the tables unchanged: of the paper, and of honest tables."""
    toml = (PAPER / "paper.toml").read_text(encoding="utf-8")
    rows = paper_rows()
    base = findings(folder, rows, toml)
    yield "as printed", {"added": base, "removed": []}
    changed = {name: (rows, change(toml)) for name, change in OF_TOML.items()}
    changed |= {name: (change(rows), toml) for name, change in OF_ROWS.items()}
    changed["no descriptive table"] = [row for row in rows if row[0] != "2"], said('table = "2"', "")(toml)
    other_sign = put((*EAST, "cbec", "parenthesis"), "-2.400")(rows)
    changed["a t statistic of another sign"] = other_sign, OF_TOML["said to be t statistics"](toml)
    for name, tables in changed.items():
        now = findings(folder, *tables)
        added, removed = ([row for row in one if row not in other] for one, other in ((now, base), (base, now)))
        yield name, {"added": added, "removed": removed}
    study = load_study("paper")
    for name in ("as printed", *WITH_CONTROLS):
        paper = load_printed(folder, *changed.get(name, (rows, toml)))
        yield f"{name}, controls observed", {"added": with_controls(paper, observed_rows(study, paper)), "removed": []}
    fewer = [(*row[:4], str(int(row[4]) - 1), row[5]) if row[3] == "n_obs" else row for row in rows]
    paper = load_printed(folder, fewer, toml)
    lost = {key: one.iloc[1:] for key, one in observed_rows(study, paper).items()}
    yield "a row lost, controls observed", {"added": with_controls(paper, lost), "removed": []}
    yield "honest tables", {"added": findings(folder, honest_rows(3), HONEST_TOML), "removed": []}


def same(one: list[str], other: list[str]) -> bool:
    """Texts are equal; numbers to nine digits, which SciPy's functions keep from machine to machine."""
    return len(one) == len(other) and all(a == b or _close(a, b) for a, b in zip(one, other, strict=True))


def _close(a: str, b: str) -> bool:
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-300)
    except ValueError:
        return False


def test_every_finding_word_for_word(tmp_path):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    names = []
    for name, found in all_findings(tmp_path):
        names.append(name)
        for kind, expected in golden[name].items():
            assert len(found[kind]) == len(expected), (name, kind)
            for one, other in zip(found[kind], expected, strict=True):
                assert same(one, other), (name, kind)
    assert names == list(golden)


def test_the_table_in_a_notebook(paper):
    found = audit(paper)
    verdicts = [finding.verdict for finding in found.findings]
    assert [found.count(one) for one in Verdict] == [verdicts.count(one) for one in Verdict]
    assert found.count(Verdict.FAIL, "reading") == 7
    assert found.count(Verdict.FAIL, "stars_") == sum(
        f.verdict is Verdict.FAIL and "stars_" in f.check for f in found.findings
    )
    html = found._repr_html_()
    assert html.startswith(f"<p>{found.summary()} Findings: ")
    assert "in 11 places: 4 faults and 7 doubts" in found.summary()
    assert len(found.faults()) == 11
    failed = found.frame().query("verdict == 'fail'")[["table", "column", "term", "check", "detail"]]
    assert html.endswith(f"{failed.to_html(index=False)}")


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    text = json.dumps(dict(all_findings(folder)), indent=0, ensure_ascii=False)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(folder)
