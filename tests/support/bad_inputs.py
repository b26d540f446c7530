"""Inputs that go wrong in the field, each with what the program must do: refuse in one line, or answer with a note.

A case is a function that writes files into the working folder, further arguments of ``fit``, and the exit status with a
part of what is said. The panel is `panel.csv` unless the arguments say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = {"outcome": "y", "exposure": "d", "controls": "x", "unit": "city", "time": "year", "group": "region"}


def table(n_units: int = 12, n_times: int = 5, seed: int = 1) -> pd.DataFrame:
    """Return a clean panel."""
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    d, x = rng.normal(size=(2, len(unit))).round(3)
    y = (0.5 * d - 0.2 * x + rng.normal(size=n_units)[unit] + 0.1 * time + 0.3 * rng.normal(size=len(unit))).round(4)
    region = [("east", "central", "west")[u % 3] for u in unit]
    return pd.DataFrame(
        {"city": [f"c{u}" for u in unit], "year": 2010 + time, "region": region, "y": y, "d": d, "x": x}
    )


@dataclass(frozen=True, slots=True)
class Case:
    """A bad input; see the module."""

    name: str
    write: Callable[[Path], object]
    status: int
    said: str
    options: dict[str, str | None] = field(default_factory=dict)


CASES: list[Case] = []


def case(name: str, status: int, said: str, write: Callable[[Path], object], **options: str | None) -> None:
    """Add a case."""
    CASES.append(Case(name, write, status, said, options))


def read(name: str, said: str, write: Callable[[Path], object], **options: str | None) -> None:
    """Add a panel that is read, with a note or without, and then fitted by the member that takes least time."""
    case(name, 0, said, write, model="partial_pooling", **options)


def csv(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    """Return what writes the panel after a change."""
    return lambda folder: change(table().astype({"y": object, "d": object, "x": object, "year": object})).to_csv(
        folder / "panel.csv", index=False
    )


def cell(column: str, value: object, row: int = 7) -> Callable[[Path], object]:
    """Return what writes the panel with one cell changed."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return csv(change)


def text(change: Callable[[str], str | bytes]) -> Callable[[Path], object]:
    """Return what writes the panel's text after a change."""

    def write(folder: Path) -> None:
        found = change(table().to_csv(index=False))
        (folder / "panel.csv").write_bytes(found.encode() if isinstance(found, str) else found)

    return write


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    """Return what writes the panel's lines after a change."""
    return text(lambda whole: "\n".join(change(whole.splitlines())) + "\n")


def model(change: Callable[[str], str | bytes]) -> Callable[[Path], object]:
    """Return what writes the panel and a model file after a change."""

    def write(folder: Path) -> None:
        from cbec_bayes.runtime.files import asset_dir

        table().to_csv(folder / "panel.csv", index=False)
        found = change((asset_dir("models") / "partial_pooling.toml").read_text(encoding="utf-8"))
        (folder / "mine.toml").write_bytes(found.encode() if isinstance(found, str) else found)

    return write


clean = csv(lambda frame: frame)

# Encodings and layouts of text.
case("byte-order mark", 0, "Origin: observed", text(lambda t: b"\xef\xbb\xbf" + t.encode()))
read("windows line ends", "Origin: observed", text(lambda t: t.replace("\n", "\r\n")))
read("old mac line ends", "Origin: observed", text(lambda t: t.replace("\n", "\r")))
read("no last line end", "Origin: observed", text(lambda t: t.rstrip("\n")))
read("blank lines", "Origin: observed", lines(lambda rows: [row for pair in rows for row in (pair, "")]))
read("blanks around cells", "Origin: observed", text(lambda t: t.replace(",", " , ")))
case("latin-1", 2, "not UTF-8 text", text(lambda t: t.replace("c0", "Orléans").encode("latin-1")))
case("utf-16", 2, "not UTF-8 text", text(lambda t: t.encode("utf-16")))
case("a null byte", 2, "panel.csv", text(lambda t: t.replace("c3", "c\x003", 1)))
case("nothing", 2, "the file is empty", text(lambda _: ""))
case("blank lines alone", 2, "the file is empty", text(lambda _: "\n\n\n"))
case("a header alone", 2, "a header but no rows", lines(lambda rows: rows[:1]))
case("no header", 2, "no such column", lines(lambda rows: rows[1:]))
read("semicolons", "separated by semicolons", text(lambda t: t.replace(",", ";")))
read("tabs", "Origin: observed", text(lambda t: t.replace(",", "\t")))
read("pipes", "separated by vertical bars", text(lambda t: t.replace(",", "|")))
case("an open quote", 2, "not readable as CSV", lines(lambda rows: [*rows[:4], '"' + rows[4], *rows[5:]]))
case(
    "a short line",
    2,
    "the row has 3 cells, and the header has 6",
    lines(lambda rows: [*rows[:3], rows[3][:-6].rstrip(",0123456789.-"), *rows[4:]]),
)
case(
    "a long line",
    2,
    "the row has 7 cells, and the header has 6",
    lines(lambda rows: [*rows[:3], rows[3] + ",1", *rows[4:]]),
)
case("a comma after each line", 2, "a column without a name", lines(lambda rows: [row + "," for row in rows]))
case("a column without a name", 2, "a column without a name", text(lambda t: t.replace("region", "", 1)))
case("a column named twice", 2, "the column appears twice", text(lambda t: t.replace("region", "year", 1)))
case("a title above the header", 2, "cells, and the header has", lines(lambda rows: ["My panel", *rows]))
case("a total below", 2, "year", lines(lambda rows: [*rows, "total,,,1,2,3"]))
case("html", 2, "panel.csv", text(lambda _: "<html><body>404</body></html>\n<p>\n"))
case("json", 2, "panel.csv", text(lambda _: '[{"city": "a"}]\n'))

# Cells.
for bad in (
    "1,5",
    "1.234,5",
    "1 234",
    "12%",
    "$3",
    "(3)",
    "3-",
    "n/a",
    "-",
    "?",
    "#DIV/0!",
    "TRUE",
    "0x1F",
    "1_000",
):
    case(f"'{bad}' for a number", 2, "is not a number", cell("d", bad))
case("a minus that is a dash", 2, "is not a number", cell("y", "–0.5"))
case("digits of another script", 2, "is not a number", cell("y", "٣"))
case("an infinity", 2, "infinite", cell("y", "inf"))
case("a negative infinity", 2, "infinite", cell("x", "-inf"))
case("too large for a float", 2, "infinite", cell("x", "1e999"))
read("nan", "59 of 60", cell("x", "nan"))
case("a blank cell", 0, "59 of 60", cell("y", ""))
case("a blank unit", 2, "the cell is blank", cell("city", ""))
case("a blank period", 2, "the cell is blank", cell("year", ""))
read("a blank group", "59 of 60", cell("region", ""))
read("NA for a number", "59 of 60", cell("x", "NA"))
read("a point for a number", "59 of 60", cell("y", "."))
read("a code for a missing cell", "59 of 60", cell("y", -99), missing="-9,-99")
case("a period that is text", 2, "is no period", cell("year", "first"))
case("a period that is infinite", 2, "infinite", cell("year", "inf"))
read("dates for years", "Origin: observed", csv(lambda f: f.assign(year=[f"{y}-12-31" for y in f["year"]])))
read(
    "dates for months",
    "read as months, 2010M01 to 2010M05",
    csv(lambda f: f.assign(year=[f"2010-{1 + k % 5:02d}-01" for k in range(len(f))])),
)
case(
    "several dates in a year",
    2,
    "several dates in 2011",
    csv(lambda f: f.assign(year=["2011-06-30" if k == 12 else f"{y}-12-31" for k, y in enumerate(f["year"])])),
)
case("a date among years", 2, "is not a date", cell("year", "2011-01-01"))
case("a row twice", 2, "twice", csv(lambda f: pd.concat([f, f.iloc[[4]]])))
case("a unit in two groups", 2, "group", cell("region", "west", 0))
read("a formula as a label", "Origin: observed", csv(lambda f: f.assign(region=f["region"].replace("east", "=1+1"))))
case("markup as a label", 0, "Origin: observed", csv(lambda f: f.assign(region=f["region"].replace("east", "<b>"))))
case(
    "an escape code as a label",
    2,
    "row 2, column 'region': the name has the invisible sign U+001B",
    csv(lambda f: f.assign(region=f["region"].replace("east", "\x1b[31mred"))),
)
case(
    "a label that runs backwards", 2, "U+202E", csv(lambda f: f.assign(region=f["region"].replace("east", "a\u202eb")))
)
case("a label in two lines", 2, "U+000A", csv(lambda f: f.assign(city=f["city"].replace("c3", "c\n3"))))
case(
    "a label that looks like another",
    2,
    "U+200B",
    csv(lambda f: f.assign(region=f["region"].replace("east", "e\u200bast"))),
)
case(
    "labels of many scripts",
    0,
    "Origin: observed",
    csv(
        lambda f: f.assign(
            region=f["region"].map({"east": "東部　地区", "west": "می\u200cخواهم", "central": "São\xa0Paulo"})
        )
    ),
)
case(
    "a group named as the scale between groups",
    2,
    "(tau)",
    csv(lambda f: f.assign(region=f["region"].replace("east", "(tau)"))),
)
case(
    "an escape code as a column that is used",
    2,
    "U+001B",
    text(lambda t: t.replace("x", "x\x1b[2J", 1)),
    controls="x\x1b[2J",
)
read(
    "an escape code as a column that is not",
    "Origin: observed",
    text(lambda t: t.replace("x", "x\x1b[2J", 1)),
    controls="",
)
case(
    "an escape code as a column that is offered",
    2,
    r"there are city, year, region, y, d, x\x1b[2J",
    text(lambda t: t.replace("x", "x\x1b[2J", 1)),
)
read("a very long label", "Origin: observed", csv(lambda f: f.assign(city=f["city"] + "x" * 5_000)))
case(
    "a group named as the common slope",
    2,
    "(all)",
    csv(lambda f: f.assign(region=f["region"].replace("east", "(all)"))),
)
case(
    "a group named as the average over units",
    2,
    "(average)",
    csv(lambda f: f.assign(region=f["region"].replace("east", "(average)"))),
)

# What the columns are.
case("no such outcome", 2, "no such column; did you mean 'y'?", clean, outcome="Y")
case("no such control", 2, "no such column", clean, controls="x,z")
case("no such group", 2, "no such column", clean, group="Region")
case("a column with two roles", 2, "is given as", clean, controls="d")
case("a control twice", 2, "is given as", clean, controls="x,x")
case("outcome and exposure alike", 2, "is given as", clean, exposure="y")
case("unit and time alike", 2, "is given as", clean, time="city")
case("unit and time exchanged", 2, "panel.csv", clean, unit="year", time="city")
case("text for an outcome", 2, "is not a number", clean, outcome="region", group=None)
case("text for an exposure", 2, "is not a number", clean, exposure="region", group=None)
read("controls of commas", "Origin: observed", clean, controls=", ,")
case("no groups", 0, "Origin: observed", clean, group=None)
case("the unit as its group", 2, "is given as", clean, group="city")

# Shapes.
case("one unit", 2, "unit", csv(lambda f: f[f["city"] == "c0"]), group=None)
case("one period", 2, "period", csv(lambda f: f[f["year"] == 2010]))
case("two units, two periods", 2, "", csv(lambda f: f[f["city"].isin(["c0", "c1"]) & (f["year"] < 2012)]))
case("one group", 0, "Origin: observed", csv(lambda f: f.assign(region="all of it")))
case(
    "a group with one unit",
    0,
    "Origin: observed",
    csv(lambda f: f.assign(region=["one" if c == "c0" else "rest" for c in f["city"]])),
)
case("a group to each unit", 0, "Origin: observed", csv(lambda f: f.assign(region=f["city"] + "!")))
read("a year that is missing", "Origin: observed", csv(lambda f: f[f["year"] != 2012]))
case("units seen once", 0, "Origin: observed", csv(lambda f: f[(f["year"] < 2013) | (f["city"] != "c3")]))
case("every cell missing", 2, "", csv(lambda f: f.assign(y=None)))
case("a constant outcome", 2, "", csv(lambda f: f.assign(y=1.0)))
case("a constant exposure", 2, "is constant", csv(lambda f: f.assign(d=1.0)))
case("a constant control", 2, "is constant", csv(lambda f: f.assign(x=0.0)))
case("an exposure of units alone", 2, "", csv(lambda f: f.assign(d=[float(c[1:]) for c in f["city"]])))
case("a control of periods alone", 2, "", csv(lambda f: f.assign(x=f["year"].astype(float) ** 2)))
case(
    "an exposure of units plus periods",
    2,
    "",
    csv(lambda f: f.assign(d=[float(c[1:]) for c in f["city"]] + f["year"].astype(float))),
)
case("a control that is the exposure", 2, "", csv(lambda f: f.assign(x=2.0 * f["d"].astype(float))))
case("an outcome that is the exposure", 2, "", csv(lambda f: f.assign(y=f["d"])))

# Sizes of numbers.
case(
    "numbers of 1e-8",
    0,
    "Origin: observed",
    csv(lambda f: f.assign(d=f["d"].astype(float) * 1e-8, y=f["y"].astype(float) * 1e-8)),
)
case(
    "numbers of 1e8",
    0,
    "Origin: observed",
    csv(lambda f: f.assign(d=f["d"].astype(float) * 1e8, x=f["x"].astype(float) * 1e-8)),
)
case("an outcome of 1e15", 0, "Origin: observed", csv(lambda f: f.assign(y=f["y"].astype(float) * 1e15)))
case("an outcome of 1e150", 2, "change the unit", csv(lambda f: f.assign(y=f["y"].astype(float) * 1e150)))
case("an outcome of 1e300", 2, "change the unit", csv(lambda f: f.assign(y=f["y"].astype(float) * 1e300)))
case("an exposure of 1e-200", 2, "change the unit", csv(lambda f: f.assign(d=f["d"].astype(float) * 1e-200)))
case("an outlier at 50 sd", 0, "Origin: observed", cell("y", 50.0))
case("a constant of 1e13", 2, "'d' is constant", csv(lambda f: f.assign(d=1e13)))
case(
    "a control beside 1e13",
    2,
    "'x' is too imprecise for its size",
    csv(lambda f: f.assign(x=f["x"].astype(float) + 1e13)),
)
case("an outcome beside 1e15", 2, "'y' is too imprecise", csv(lambda f: f.assign(y=f["y"].astype(float) + 1e15)))
case("a control beside 1e10", 2, "column 'x': ", csv(lambda f: f.assign(x=f["x"].astype(float) + 1e10)))
case("an exposure beside 1e10", 2, "column 'd': ", csv(lambda f: f.assign(d=f["d"].astype(float) + 1e10)))
case("a mean of 1e9", 0, "Origin: observed", csv(lambda f: f.assign(d=f["d"].astype(float) + 1e6)))

# Files of other kinds, and what is no file.
case("no such file", 2, "no such file", lambda _: None)
case("a folder", 2, "folder", lambda folder: (folder / "panel.csv").mkdir())
case(
    "an unknown ending",
    2,
    "unknown kind of file '.txt'",
    lambda folder: (folder / "p.txt").write_text("x"),
    data="p.txt",
)
case("no ending", 2, "unknown kind of file", lambda folder: (folder / "p").write_text("x"), data="p")
for ending in ("parquet", "xlsx", "dta"):
    case(
        f"no {ending} inside",
        2,
        f"p.{ending}",
        lambda folder, e=ending: (folder / f"p.{e}").write_bytes(b"junk " * 99),
        data=f"p.{ending}",
    )
    case(
        f"an empty {ending}",
        2,
        "the file is empty",
        lambda folder, e=ending: (folder / f"p.{e}").write_bytes(b""),
        data=f"p.{ending}",
    )


def _truncated(folder: Path) -> None:
    table().to_parquet(folder / "p.parquet")
    whole = (folder / "p.parquet").read_bytes()
    (folder / "p.parquet").write_bytes(whole[: len(whole) // 2])


def _merged(folder: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["place", None, None, "values", None, None])
    sheet.append(list(table().columns))
    for row in table().itertuples(index=False):
        sheet.append(list(row))
    sheet.merge_cells("A1:C1")
    book.save(folder / "p.xlsx")


case("a truncated Parquet file", 2, "not readable as Parquet", _truncated, data="p.parquet")
case("a merged header in Excel", 2, "a column without a name", _merged, data="p.xlsx")
case(
    "Excel by another name",
    2,
    "panel.csv",
    lambda folder: (_merged(folder), (folder / "p.xlsx").rename(folder / "panel.csv")),
)

# Models and options.
case(
    "an escape code in a model",
    2,
    "U+001B",
    model(lambda t: t.replace('question = "', 'question = "\\u001b]0;x\\u0007', 1)),
    model="mine.toml",
)
case("an escape code as a key", 2, "U+001B", model(lambda t: '"\\u001b[2J" = 1\n' + t), model="mine.toml")
case(
    "a number of 5,000 digits",
    2,
    "a number is too long",
    model(lambda t: "n = " + "9" * 5_000 + "\n" + t),
    model="mine.toml",
)
case(
    "lists within lists",
    2,
    "nested too deeply",
    model(lambda t: "n = " + "[" * 5_000 + "]" * 5_000 + "\n" + t),
    model="mine.toml",
)
case(
    "tables within tables",
    2,
    "mine.toml",
    model(lambda t: t + "[" + ".".join(["a"] * 3_000) + "]\n"),
    model="mine.toml",
)
case(
    "a model's name in two lines",
    2,
    "U+000A",
    lambda folder: (model(lambda t: t)(folder), (folder / "mine.toml").rename(folder / "a\nb.toml")),
    model="a\nb.toml",
)
case("no such model", 2, "did you mean 'partial_pooling'?", clean, model="partial-pooling")
case("no such model file", 2, "no such file", clean, model="none.toml")
case("a folder for a model", 2, "folder", lambda folder: (clean(folder), (folder / "m.toml").mkdir()), model="m.toml")
case("a model that is no TOML", 2, "not valid TOML", model(lambda t: t.replace("=", ":", 1)), model="mine.toml")
case("a model in latin-1", 2, "not UTF-8 text", model(lambda t: ("# é\n" + t).encode("latin-1")), model="mine.toml")
case("an empty model", 2, "mine.toml", model(lambda _: ""), model="mine.toml")
case("an unknown key", 2, "unknown", model(lambda t: t.replace("kind =", "color = 1\nkind =", 1)), model="mine.toml")
case("a missing key", 2, "time_effect", model(lambda t: t.replace('time_effect = "fixed"\n', "", 1)), model="mine.toml")
case("an unknown choice", 2, "unknown choice", model(lambda t: t.replace('"fixed"', '"fxed"', 1)), model="mine.toml")
case("a number for a choice", 2, "mine.toml", model(lambda t: t.replace('"fixed"', "3", 1)), model="mine.toml")
case("a list for a choice", 2, "mine.toml", model(lambda t: t.replace('"fixed"', '["fixed"]', 1)), model="mine.toml")
case(
    "a negative scale", 2, "mine.toml", model(lambda t: t.replace("scale = 1.0", "scale = -1.0", 1)), model="mine.toml"
)
case(
    "a scale of nothing", 2, "mine.toml", model(lambda t: t.replace("scale = 1.0", "scale = 0.0", 1)), model="mine.toml"
)
case(
    "a scale that is text",
    2,
    "mine.toml",
    model(lambda t: t.replace("scale = 1.0", 'scale = "1"', 1)),
    model="mine.toml",
)
case(
    "a scale that is nan",
    2,
    "mine.toml",
    model(lambda t: t.replace("scale = 1.0", "scale = nan", 1)),
    model="mine.toml",
)
case(
    "an infinite scale", 2, "mine.toml", model(lambda t: t.replace("scale = 1.0", "scale = inf", 1)), model="mine.toml"
)
case(
    "an unknown distribution",
    2,
    "mine.toml",
    model(lambda t: t.replace('"half_normal"', '"normal_half"', 1)),
    model="mine.toml",
)
case(
    "a prior of a scale that is not there",
    2,
    "mine.toml",
    model(lambda t: t + '\n[priors.kappa]\ndist = "half_normal"\nscale = 1.0\n'),
    model="mine.toml",
)
case("a model of printed tables", 2, "unknown model", clean, model="published_half_normal")
case("no such engine", 2, "unknown engine", clean, engine="stan")
case("an engine that cannot", 2, "cannot be collapsed", clean, engine="collapsed", model="student_t")
case("no such convention", 2, "convention", clean, convention="stata")
case("a negative seed", 2, "--seed", clean, seed="-1")
case("a seed of 64 bits", 2, "--seed", clean, seed=str(2**64))
case("a seed of 128 bits", 2, "--seed", clean, seed=str(2**128))
read("the largest seed", "Origin: observed", clean, seed=str(2**53 - 1))
case("a path that is blank", 2, "--data: the value is blank", clean, data="")
case("a path in two lines", 2, r"a\nb.csv: no such file", clean, data="a\nb.csv")
case("a path with an escape code", 2, r"\x1b[2J.csv: no such file", clean, data="\x1b[2J.csv")
case("a path with a NUL", 2, "the character NUL", clean, data="a\0b.csv")
case("a path that is no UTF-8", 2, r"a\xff.csv: no such file", clean, data="a\udcff.csv")
read(
    "a file whose name is no UTF-8",
    "Origin: observed",
    lambda folder: (clean(folder), (folder / "panel.csv").rename(folder / "a\udcff.csv")),
    data="a\udcff.csv",
)
case("a column of no name", 2, "--group: the value is blank", clean, group="")
case("a seed that is text", 2, "--seed", clean, seed="one")
