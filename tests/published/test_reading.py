"""Printed tables as they are pasted: every form gives the same rows, and what may mean two things is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import docx
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbec_bayes.jobs.audit import audit_papers
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.formats import grids_of
from cbec_bayes.published.reading.notes import inside_brackets, read_words, star_levels
from cbec_bayes.published.reading.tables import Asked
from cbec_bayes.published.reading.tidy import read_printed
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir

PAPER = asset_dir("data") / "published" / "cbec_circulation"
NOTE = (
    "Notes: The values in parentheses are clustered standard errors. *, ** and *** are significant at 10%, 5% and 1%."
)

Rows = list[list[str]]


def shipped(number: int) -> str:
    return (PAPER / f"table{number}.csv").read_text(encoding="utf-8")


def printed_table(number: int) -> Rows:
    """Return a table of the first paper as it is printed: heads, rows, and parentheses below coefficients."""
    lines = list(csv.DictReader(io.StringIO(shipped(number))))
    heads = list(dict.fromkeys(line["column"] for line in lines))
    rows: Rows = [["", *heads]]
    longest = max(heads, key=lambda head: sum(line["column"] == head for line in lines))
    order = [line for line in lines if line["column"] == longest]
    if number == 2:
        for label in dict.fromkeys(line["label"] for line in lines):
            rows.append([label, *(line["printed"] for line in lines if line["label"] == label)])
        return rows
    cells = {(line["column"], line["label"], line["quantity"]): line for line in lines}
    for line in order:
        own = [cells.get((head, line["label"], line["quantity"])) for head in heads]
        texts = ["" if one is None else one["printed"] + one["stars"] for one in own]
        below = line["quantity"] == "parenthesis"
        rows.append(["" if below else line["label"], *(f"({text})" if below and text else text for text in texts)])
    return rows


def as_text(title: str, rows: Rows, note: str) -> bytes:
    widths = [max(len(row[j]) for row in rows) + 3 for j in range(len(rows[0]))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([title, "-" * sum(widths), *lines, "=" * sum(widths), note, ""]).encode()


def as_centred_text(title: str, rows: Rows, note: str) -> bytes:
    widths = [max(len(row[j]) for row in rows) + 4 for j in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0]) + "".join(c.center(w) for c, w in zip(row[1:], widths[1:], strict=True)) for row in rows
    ]
    return "\n".join([title, *lines, "", note]).encode()


def as_tabs(title: str, rows: Rows, note: str) -> bytes:
    return "\n".join([title, *("\t".join(row) for row in rows), note]).encode()


def as_semicolons(title: str, rows: Rows, note: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows([[title], *rows, [note]])
    return out.getvalue().encode()


def as_markdown(title: str, rows: Rows, note: str) -> bytes:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{title}**", "", lines[0], "|---" * len(rows[0]) + "|", *lines[1:], "", note]).encode()


def as_html(title: str, rows: Rows, note: str) -> bytes:
    body = "".join("<tr>" + "".join(f"<td>{_superscript(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<html><body><p>{title}</p><table>{body}</table><p>{note}</p></body></html>".encode()


def _superscript(cell: str) -> str:
    bare = cell.rstrip("*")
    return f"{bare}<sup>{cell[len(bare) :]}</sup>" if bare != cell else cell


def as_latex(title: str, rows: Rows, note: str) -> bytes:
    lines = [" & ".join(_sym(cell) for cell in row) + r" \\" for row in rows]
    note = note.replace("%", r"\%")
    return "\n".join(
        [r"\begin{table}", rf"\caption{{{title}}}", rf"\begin{{tabular}}{{l*{{{len(rows[0]) - 1}}}{{c}}}}", r"\toprule",
         *lines, r"\bottomrule", rf"\multicolumn{{{len(rows[0])}}}{{l}}{{\footnotesize {note}}}\\", r"\end{tabular}",
         r"\end{table}"]
    ).encode()  # fmt: skip


def _sym(cell: str) -> str:
    bare = cell.rstrip("*")
    return rf"{bare}\sym{{{cell[len(bare) :]}}}" if bare != cell else cell


def as_excel(title: str, rows: Rows, note: str) -> bytes:
    book = openpyxl.Workbook()
    for row in ([title], *rows, [note]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_word(title: str, rows: Rows, note: str) -> bytes:
    document = docx.Document()
    document.add_paragraph(title)
    table = document.add_table(rows=len(rows), cols=len(rows[0]))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            table.cell(i, j).text = cell
    document.add_paragraph(note)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


FORMS: dict[str, tuple[str, Callable[[str, Rows, str], bytes]]] = {
    "aligned text": (".txt", as_text),
    "centred text": (".txt", as_centred_text),
    "tabs": (".txt", as_tabs),
    "semicolons": (".csv", as_semicolons),
    "Markdown": (".md", as_markdown),
    "HTML": (".html", as_html),
    "LaTeX": (".tex", as_latex),
    "Excel": (".xlsx", as_excel),
    "Word": (".docx", as_word),
}


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("form", FORMS)
def test_the_first_paper_pasted_is_byte_for_byte_what_ships(form, number):
    suffix, write = FORMS[form]
    terms = {line["label"]: line["term"] for line in csv.DictReader(io.StringIO(shipped(number))) if line["term"]}
    content = write(f"Table {number}. A table", printed_table(number), NOTE)
    read = read_printed(content, suffix, "pasted", Asked(terms=terms))
    files = read.files()
    assert files[f"table{number}.csv"] == shipped(number)
    if number > 2:
        assert files["paper.toml"] == (
            f'[tables."{number}"]\nreading = "se"\nclustered = true\n'
            'stars = { "*" = "0.1", "**" = "0.05", "***" = "0.01" }\n'
        )


CELLS = {
    "0.609**": ("0.609", "**", ()),
    "0.609∗∗": ("0.609", "**", ()),
    "0.609 ***": ("0.609", "***", ()),
    "− 0.2": ("-0.2", "", ()),
    "–.775*": ("-.775", "*", ()),
    "5.87e−06": ("5.87e-06", "", ()),
    "2.3×10⁻⁴": ("2.3e-4", "", ()),
    "1\u2009234": ("1234", "", ()),
    "1,234": ("1,234", "", ()),
    "0.12+": ("0.12", "+", ()),
    "0.50ᵃ": ("0.50", "a", ()),
    "0.50b": ("0.50", "b", ()),
    "(−2.54)": ("", "", (("(", ("-2.54",)),)),
    "0.20***(0.05)": ("0.20", "***", (("(", ("0.05",)),)),
    "[0.1, 0.4]": ("", "", (("[", ("0.1", "0.4")),)),
    "[−0.3, −0.1]": ("", "", (("[", ("-0.3", "-0.1")),)),
    "[0,1; 0,4]": ("", "", (("[", ("0,1", "0,4")),)),
    "0.5 (0.1) [0.3–0.7]": ("0.5", "", (("(", ("0.1",)), ("[", ("0.3", "0.7")))),
    "Yes": ("", "", ()),
    "—": ("", "", ()),
    "2014-2021": ("", "", ()),
}


@pytest.mark.parametrize("text", CELLS)
def test_cells(text):
    cell = read_cell_text(text)
    assert (cell.number, cell.stars, tuple((one.kind, one.numbers) for one in cell.bracketed)) == CELLS[text]


USUAL, STRICT = {"*": "0.1", "**": "0.05", "***": "0.01"}, {"*": "0.05", "**": "0.01", "***": "0.001"}
WORDS = {
    "*** p<0.01, ** p<0.05, * p<0.1. Robust standard errors in parentheses": (USUAL, {"(": "se"}),
    "t statistics in parentheses\n* p < 0.05, ** p < 0.01, *** p < 0.001": (STRICT, {"(": "t"}),
    "*, **, and *** denote significance at the 10%, 5%, and 1% levels; p-values in brackets": (USUAL, {"[": "p"}),
    "The values in parentheses are clustered standard errors. ***, ** and * mean 1%, 5% and 10%.": (USUAL, {"(": "se"}),
    "Standard errors in parentheses, 95% confidence intervals in brackets": ({}, {"(": "se", "[": "ci"}),
    "Robust t-statistics in parentheses, with p-values in square brackets. + p<0.10": (
        {"+": "0.10"},
        {"(": "t", "[": "p"},
    ),
    "* significant at 10%; ** significant at 5%; *** significant at 1%": (USUAL, {}),
    "z statistics are reported in parentheses": ({}, {"(": "t"}),
    "∗∗∗ p < .01": ({"***": "0.01"}, {}),
    "Source: own work": ({}, {}),
}


@pytest.mark.parametrize("words", WORDS)
def test_what_notes_say(words):
    assert (star_levels(words), inside_brackets(words)) == WORDS[words]


def test_titles_and_clusters():
    said = read_words("Table 3. Odds ratios of adoption", ["Standard errors clustered by village in parentheses"])
    assert (said.table, said.clustered, said.is_ratio) == ("3", True, True)
    assert not read_words("Effects", ["Robust standard errors in parentheses"]).clustered


def rows_of(text: str, suffix: str = ".txt", asked: Asked | None = None) -> dict[tuple[str, str, str], str]:
    read = read_printed(text.encode(), suffix, "t", asked or Asked())
    rows = [row for table in read.tables for row in table.rows]
    return {(row.column, row.term, row.quantity): row.printed + row.stars for row in rows}


def test_panels_have_tables_of_their_own():
    text = (
        "Table 7\n\t(1)\t(2)\nPanel A: Men\nx\t0.40***\t0.20\n\t(0.10)\t(0.20)\nN\t100\t100\n"
        "Panel B: Women\nx\t0.30***\t0.10\n\t(0.10)\t(0.20)\nN\t90\t90\nStandard errors in parentheses"
    )
    read = read_printed(text.encode(), ".txt", "t", Asked())
    assert [(one.table, one.title) for one in read.tables] == [("7A", "Table 7 Men"), ("7B", "Table 7 Women")]
    assert [row.printed for row in read.tables[1].rows if row.quantity == "n_obs"] == ["90", "90"]
    assert all(one.reading == "se" for one in read.tables)


def test_panels_in_a_web_page_may_have_heads_of_their_own():
    def panel(name: str, heads: tuple[str, str], estimate: str) -> str:
        return (
            f"<tr><td colspan=3>Panel {name}</td></tr><tr><td></td><td>{heads[0]}</td><td>{heads[1]}</td></tr>"
            f"<tr><td>x</td><td>{estimate}<sup>*</sup></td><td>0.1</td></tr><tr><td></td><td>(0.2)</td><td>(0.3)</td></tr>"
        )

    body = panel("A. Men", ("East", "West"), "0.4") + panel("B. Women", ("North", "South"), "0.5")
    read = read_printed(f"<table>{body}</table><p>Standard errors in parentheses</p>".encode(), ".html", "t", Asked())
    found = [(row.table, row.column, row.printed) for one in read.tables for row in one.rows if row.stars]
    assert found == [("1A", "East", "0.4"), ("1B", "North", "0.5")]


def test_cells_of_a_workbook_are_read_as_they_are_shown():
    book = openpyxl.Workbook()
    for row in ([None, "(1)"], ["x", 0.5], [None, "(0.20)"], ["N", 1234], ["Standard errors in parentheses", None]):
        book.active.append(row)
    book.active["B2"].number_format = "0.000"
    out = io.BytesIO()
    book.save(out)
    read = read_printed(out.getvalue(), ".xlsx", "t", Asked())
    assert [row.printed for row in read.tables[0].rows] == ["0.500", "0.20", "1234"]


def test_several_columns_belong_to_one_model():
    text = (
        "\tCoef.\tStd. Err.\tt\tP>|t|\tLower\tUpper\n"
        "x\t0.50\t0.20\t2.50\t0.013\t0.108\t0.892\nz\t-0.10\t0.05\t\t\t\t\nN\t400\n"
    )
    found = rows_of(text)
    assert found["(1)", "x", "parenthesis"] == "0.20"
    assert [found["(1)", "x", name] for name in ("t_statistic", "p_value", "ci_low", "ci_high")] == [
        *("2.50", "0.013", "0.108", "0.892"),
    ]
    assert found["(1)", "z", "estimate"] == "-0.10"


def test_intervals_tests_and_counts_below():
    text = (
        "Table 1\n"
        "            (1)             (2)\n"
        "x           0.50**          0.40\n"
        "           (0.20)          (0.30)\n"
        "        [0.108, 0.892]  [-0.188, 0.988]\n"
        "p-value      0.013           0.18\n"
        "N            1,234           1,234\n"
        "Standard errors in parentheses"
    )
    found = rows_of(text)
    assert (found["(2)", "x", "ci_low"], found["(2)", "x", "ci_high"], found["(2)", "x", "p_value"]) == (
        *("-0.188", "0.988", "0.18"),
    )
    assert found["(1)", "", "n_obs"] == "1234"


@pytest.mark.parametrize(("se", "n_faults"), [("0.100", 0), ("0.900", 1)])
def test_stars_are_held_against_a_column_of_standard_errors(tmp_path, se, n_faults):
    (tmp_path / "t.txt").write_text(f"\tb\tSE\nx\t0.400***\t{se}\nz\t0.300**\t0.130\nN\t400\n")
    (found,) = audit_papers([tmp_path / "t.txt"], Asked()).papers
    assert len(found.failures) == n_faults


@pytest.mark.parametrize("form", ["aligned text", "tabs", "HTML", "Markdown"])
def test_a_note_may_say_the_observations(form):
    suffix, write = FORMS[form]
    rows: Rows = [["", "(1)", "(2)"], ["x", "0.4***", "0.5"], ["", "(0.1)", "(0.4)"]]
    content = write("Table 1. T", rows, "Standard errors in parentheses. N = 1,234.")
    read = read_printed(content, suffix, "t", Asked())
    counts = [(row.column, row.printed) for row in read.tables[0].rows if row.quantity == "n_obs"]
    assert counts == [("(1)", "1234"), ("(2)", "1234")]


def test_heads_say_outcome_and_estimator():
    text = (
        "Dependent variable\twage\thours\n\tOLS\t2SLS\nx\t0.4\t0.5\n\t(0.1)\t(0.2)\nR2\t0.3\t-0.1\n"
        "Standard errors in parentheses"
    )
    read = read_printed(text.encode(), ".txt", "t", Asked())
    columns = read.paper().columns
    assert [(c.name, c.texts["outcome"]) for c in columns.values()] == [("OLS", "wage"), ("2SLS", "hours")]


ASKED = {
    "what stands in brackets": ("\t(1)\nx\t0.5\n\t(0.1)\n\t[0.03]\nStandard errors in parentheses", "--brackets"),
    "a negative number": ("\t(1)\nx\t-0.5\n\t(-2.1)\n", "--parentheses t"),
    "what stands below": ("\t(1)\nx\t0.5*\n\t0.1\n", "--below"),
    "which columns": ("East West\nx 0.5* 0.4\n(0.1) (0.2)\nz 0.3\n(0.1)\n", "separate columns by tabs"),
    "two decimal signs": ("\t(1)\nx\t0,5*\n\t(0.1)\nse in parentheses", "has a point and '0,5' a decimal comma"),
    "no table": ("Nothing here.\nAnd nothing there.", "no table was found"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_may_mean_two_things_is_asked_in_one_line(name):
    text, words = ASKED[name]
    with pytest.raises(InputError) as caught:
        read_printed(text.encode(), ".txt", "t.txt", Asked())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_answer_what_is_asked():
    text = ASKED["what stands in brackets"][0]
    assert rows_of(text, asked=Asked(inside={"[": "p"}))["(1)", "x", "p_value"] == "0.03"
    assert rows_of(ASKED["what stands below"][0], asked=Asked(below="se"))["(1)", "x", "parenthesis"] == "0.1"
    read = read_printed(ASKED["a negative number"][0].encode(), ".txt", "t", Asked(inside={"(": "t"}))
    assert read.tables[0].reading == "t"


def test_a_decimal_comma_is_never_thousands():
    read = read_printed(b"\t(1)\nx\t0,123**\n\t(0,050)\nN\t1.234\n", ".txt", "t", Asked())
    paper = read.paper()
    cell = paper.columns["1: (1)"].coefficients["x"]
    assert (float(cell.estimate), float(cell.parenthesis)) == (0.123, 0.05)
    assert int(paper.columns["1: (1)"].numbers["n_obs"].value) == 1234


def test_what_is_saved_is_read_as_the_same_paper(tmp_path):
    (tmp_path / "t.txt").write_bytes(as_text("Table 4. Groups", printed_table(4), NOTE))
    (found,) = audit_papers([tmp_path / "t.txt"], Asked()).papers
    folder = tmp_path / "saved"
    folder.mkdir()
    for name, text in found.saved.items():
        (folder / name).write_text(text, encoding="utf-8")
    again = audit_papers([folder], Asked()).papers[0]
    assert again.findings.to_csv() == found.findings.to_csv()
    assert load_paper(folder).facts.tables == found.paper.facts.tables


@pytest.mark.parametrize("suffix", [".xlsx", ".docx", ".html", ".tex", ".md", ".csv", ".txt"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"PK\x03\x04broken", "\u202e".encode(), b"<table><tr><td>"])
def test_damaged_files_are_one_line(suffix, content):
    with pytest.raises(InputError):
        grids_of(content, suffix, f"t{suffix}")


PROGRAMS = Path(__file__).parent / "cases" / "programs"
OF_PROGRAMS = {
    "stargazer.txt": {
        ("(1)", "complaints"): ("0.682", "***", {"parenthesis": "0.129"}),
        ("(1)", "privileges"): ("-0.103", "", {"parenthesis": "0.135"}),
        ("(2)", "constant"): ("-7.476", "**", {"parenthesis": "3.570"}),
    },
    "esttab.txt": {
        ("(1)", "weight"): ("1.747", "**", {"parenthesis": "2.72"}),
        ("(1)", "mpg"): ("-49.51", "", {"parenthesis": "-0.57"}),
        ("(2)", "foreign"): ("3673.1", "***", {"parenthesis": "5.37"}),
    },
    "modelsummary.md": {
        ("(1)", "constant"): ("37.885", "***", {"parenthesis": "2.074"}),
        ("(2)", "wt"): ("-3.191", "***", {"parenthesis": "0.757"}),
    },
    "etable.txt": {
        ("est1", "educ"): ("0.0752", "***", {"parenthesis": "0.0104"}),
        ("est1", "exper"): ("0.0041", "", {"parenthesis": "0.0028"}),
        ("est2", "educ"): ("0.0612", "***", {"parenthesis": "0.0123"}),
    },
    "stata.txt": {
        ("(1)", "mpg"): (
            *("-49.51222", ""),
            {
                **{"parenthesis": "86.15604", "t_statistic": "-0.57", "p_value": "0.567"},
                **{"ci_low": "-221.3025", "ci_high": "122.278"},
            },
        ),
    },
    "pdf.txt": {
        ("(2)", "lnGDP"): ("0.512", "***", {"parenthesis": "0.102"}),
        ("(3)", "DIF"): ("0.312", "**", {"parenthesis": "0.150"}),
        ("(2)", "constant"): ("-3.110", "*", {"parenthesis": "1.702"}),
    },
    "side.html": {
        ("Men", "x"): ("0.40", "a", {"parenthesis": "0.10"}),
        ("Women", "x"): ("0.20", "", {"parenthesis": "0.15"}),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OF_PROGRAMS)
def test_tables_as_usual_programs_print_them(name):
    path = PROGRAMS / name
    read = read_printed(path.read_bytes(), path.suffix, name, Asked())
    rows = [row for table in read.tables for row in table.rows]
    for (column, term), (estimate, stars, beside) in OF_PROGRAMS[name].items():
        own = [row for row in rows if (row.column, row.term) == (column, term)]
        assert [(row.printed, row.stars) for row in own if row.quantity == "estimate"] == [(estimate, stars)]
        assert {row.quantity: row.printed for row in own if row.quantity != "estimate"} == beside
    terms = {row.term for row in rows if row.quantity == "estimate"}
    assert terms.isdisjoint({"AIC", "RMSE", "Log Likelihood", "N", "R2", "Akaike Inf. Crit."})
    read.paper()


numbers = st.decimals(-99, 99, places=3).map(lambda value: f"{value:.3f}")
columns_of_cells = st.lists(
    st.tuples(numbers, st.sampled_from(["", "*", "**", "***"]), st.booleans()), min_size=1, max_size=4
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(columns_of_cells, min_size=2, max_size=6),
    st.sampled_from(["aligned text", "centred text", "tabs", "Markdown", "HTML"]),
)
def test_any_table_is_read_as_it_was_written(terms, form):
    """Random estimates, stars and blanks; the first row has no blank, so that every column has a number."""
    width = max(len(cells) for cells in terms)
    rows: Rows = [["", *(f"({j + 1})" for j in range(width))]]
    expected = {}
    for i, cells in enumerate(terms):
        filled = [("1.500", "", True)] * width if i == 0 else [*cells, *[("", "", False)] * (width - len(cells))]
        shown = [there for _, _, there in filled]
        rows.append([f"var{i}", *(f"{number}{stars}" if there else "" for number, stars, there in filled)])
        rows.append(["", *("(0.250)" if there else "" for there in shown)])
        expected |= {(f"({j + 1})", f"var{i}"): f"{n}{s}" for j, (n, s, there) in enumerate(filled) if there}
    rows.append(["Observations", *["1,234"] * width])
    suffix, write = FORMS[form]
    read = read_printed(write("Table 1. T", rows, "Standard errors in parentheses"), suffix, "t", Asked())
    found = {(r.column, r.term): r.printed + r.stars for t in read.tables for r in t.rows if r.quantity == "estimate"}
    assert found == expected
    assert all(r.printed == "1234" for t in read.tables for r in t.rows if r.quantity == "n_obs")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(alphabet="ab 01.,*()[]-−—|&\t\n+N=%{}\\$<>/tdr", max_size=200),
    st.sampled_from([".txt", ".md", ".html", ".csv"]),
)
def test_whatever_is_pasted_is_read_or_refused(text, suffix):
    with suppress(InputError):
        read_printed(text.encode(), suffix, "t", Asked()).paper()
