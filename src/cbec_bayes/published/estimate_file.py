"""Files of estimates: which column is what, numbers as printed, and standard errors from what stands in their place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cbec_bayes.published.estimates import PrintedEstimate, PrintedEstimates
from cbec_bayes.published.number import PrintedNumber, decimal_sign, derived, plain_number
from cbec_bayes.published.readings import critical_value, se_from_p, se_from_t
from cbec_bayes.published.stars import split_stars
from cbec_bayes.published.stated import DEFAULT_STARS
from cbec_bayes.published.workbook import SUFFIX, sheets_with
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import Row, read_text, rows_of_text
from cbec_bayes.runtime.labels import CI_PROB, fault_of_group, level

MOST_DIGITS = 15
"""Digits of a number of units or rows."""

SMALLEST_DF = Decimal("0.1")
"""Smallest degrees of freedom: a regression has one or more, and below this |t| has no upper quantile in floats."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "study", "group", "name", "slab", "author", "trial", "site", "country", "region"),
    "estimate": (
        *("estimate", "coef", "coefficient", "coeff", "yi", "est", "effect", "beta", "b", "te", "es", "effect_size"),
        *("smd", "lnrr", "lnor", "logor", "log_or", "hedges_g", "cohens_d"),
    ),
    "se": (
        *("se", "std_error", "stderr", "std_err", "sei", "standard_error", "sete", "s_e", "estimate_se"),
        *("se_estimate", "se_coef", "coef_se", "se_beta", "beta_se", "se_effect", "effect_se", "se_yi", "yi_se"),
    ),
    "variance": ("vi", "variance", "var"),
    "low": (
        *("ci_low", "lower", "low", "ci_lower", "conf_low", "ci_lb", "lb", "lci", "ll", "lower_ci", "low_ci", "cil"),
        *("ci_l", "lower_bound", "lower_limit", "ci_min", "2_5_%", "2_5%", "[0_025", "q2_5"),
    ),
    "high": (
        *("ci_high", "upper", "high", "ci_upper", "conf_high", "ci_ub", "ub", "uci", "ul", "upper_ci", "high_ci"),
        *("ciu", "ci_u", "upper_bound", "upper_limit", "ci_max", "97_5_%", "97_5%", "0_975]", "q97_5"),
    ),
    "t": ("t", "tstat", "t_stat", "t_value", "tval", "t_statistic", "z", "zval", "z_value", "z_stat", "statistic"),
    "p": ("p", "p_value", "pvalue", "pval", "p_val", "pr(>|t|)", "pr(>|z|)", "p>|t|", "p>|z|"),
    "stars": ("stars", "star", "signif", "significance"),
    "df": ("df", "dof", "degrees_of_freedom"),
    "n_units": ("n_units", "units", "clusters"),
    "n_obs": ("n_obs", "n", "nobs", "observations", "ni", "sample_size"),
}
"""Names under which usual programs write each column; capitals, points, spaces and a "95 %" make no difference."""

RATIOS = frozenset({"or", "rr", "hr", "irr", "odds_ratio", "risk_ratio", "rate_ratio", "hazard_ratio"})
"""Names of columns of ratios, which are pooled as logarithms."""

_SPREADS = ("se", "variance", "low", "t", "p")
"""What a standard error can be taken from, the most direct first."""

_MISSING = frozenset({"", "na", "n/a", "nan", ".", "-", "null", "none", "#n/a"})
_WORDS = {
    "variance": "the square root of the column '{column}'",
    "low": "the {ci} interval",
    "t": "the estimate over '{column}'",
    "p": "the p-value in '{column}'",
}

MOST_NAMED = 3
"""Rows that a note names."""

SLACK = 1.1
"""Factor by which a standard error may miss what stands beside it, for another reference distribution."""

LARGEST_SKEW = 0.05
"""Share of an interval's length by which its middle may miss the estimate, beyond rounding."""


@dataclass(frozen=True, slots=True)
class EstimateColumns:
    """Which column of a file is what: a key of `NAMES` to the header as written."""

    named: Mapping[str, str]

    def __contains__(self, key: str) -> bool:
        return key in self.named

    def cell(self, row: Row, key: str) -> str:
        """Return a cell, blank where it is missing or there is no such column."""
        text = row[self.named[key]] if key in self.named else ""
        return "" if text.lower() in _MISSING else text


def read_estimates(path: Path | str, *, ci_prob: float = CI_PROB) -> PrintedEstimates:
    r"""Read a file of estimates, one a row, under the usual names of columns.

    Parameters
    ----------
    path
        A text file whose cells are separated by commas, semicolons or tabs, or a workbook. Needed are a label and an
        estimate; and one of a standard error, a variance, the ends of an interval, a t statistic or a p-value
        (`NAMES`). Optional are stars, df, n_units and n_obs. A blank estimate asks for a prediction; a blank standard
        error is allowed where there are stars.
    ci_prob
        Probability of the intervals, where there are intervals.

    Raises
    ------
    InputError
        A cell is malformed (the message names row and column), or nothing is there to estimate from.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> with open("slopes.csv", "w") as file:
    ...     _ = file.write("label,estimate,se\neast,0.22,0.08\nwest,0.07,0.11\nnorth,,\n")
    >>> cb.read_estimates("slopes.csv").labels
    ('east', 'west', 'north')
    """
    path = Path(path)
    if not 0 < ci_prob < 1:
        raise InputError(f"--interval must lie between 0 and 1, not {ci_prob}")
    raw = rows_of_estimates(path)
    columns = _columns(tuple(raw[0].cells), path)
    source = next((key for key in _SPREADS if key in columns), "se")
    reader = _Reader(path, columns, source, ci_prob, _decimal(path, columns, raw))
    rows: list[PrintedEstimate] = []
    for row in raw:
        parsed = reader.row(row)
        if parsed.label in {earlier.label for earlier in rows}:
            raise InputError(f"'{parsed.label}' is listed twice", file=path, row=row.number, column="label")
        rows.append(parsed)
    if not any(row.estimate for row in rows):
        raise InputError("every estimate is blank; give at least one", file=path, column="estimate")
    starred = "stars" in columns or any(row.stars for row in rows)
    levels = DEFAULT_STARS if starred else None
    return PrintedEstimates(tuple(rows), levels, reader.notes(), t_likelihood="df" in columns)


def is_workbook_of_estimates(path: Path) -> bool:
    """Return whether a file is a workbook with a sheet that begins as a file of estimates does."""
    return path.suffix.lower() == SUFFIX and path.is_file() and bool(sheets_with(path, _is_header))


def _is_header(header: Sequence[str]) -> bool:
    """Return whether a header has a label, an estimate and what a standard error can be taken from."""
    plain = {_plain_name(name) for name in header}
    there = {key for key, names in NAMES.items() if plain & set(names)}
    return {"label", "estimate"} <= there and bool(there & set(_SPREADS))


def _sheet(path: Path) -> str:
    """Return the one sheet of a workbook that has estimates."""
    found = sheets_with(path, _is_header)
    if len(found) != 1:
        several = f"{len(found)} sheets have" if found else "no sheet has"
        raise InputError(f"{several} a header of label, estimate and standard error; keep one such sheet", file=path)
    return found[0]


def rows_of_estimates(path: Path) -> list[Row]:
    """Return the rows of a file with all their cells, of whatever columns it has."""
    text = _sheet(path) if path.suffix.lower() == SUFFIX else read_text(path)
    return rows_of_text(text, path, required=(), delimiter=_delimiter(text))


def _delimiter(text: str) -> str:
    """Return what separates the cells of the header."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def _plain_name(name: str) -> str:
    plain = re.sub(r"[\s.\-]+", "_", name.strip().lower()).strip("_")
    return re.sub(r"(?<![\d])_?95_?%?_?(?![\d])", "_", plain).strip("_")


def _columns(header: Sequence[str], path: Path) -> EstimateColumns:
    """Find each column by its name; one that two headers claim is asked about."""
    named: dict[str, str] = {}
    for key, names in NAMES.items():
        exact = [column for column in header if column == key]
        found = exact or [column for column in header if _plain_name(column) in names]
        if key == "label":  # a file may name the study and its country; the first of the list is the label
            found = sorted(found, key=lambda column: names.index(_plain_name(column)))[:1]
        if len(found) > 1:
            listed = " and ".join(f"'{column}'" for column in found)
            raise InputError(f"{listed} could each be the {key}; rename one to '{key}'", file=path, row=1)
        if found:
            named[key] = found[0]
    for key in ("label", "estimate"):
        if key not in named:
            if ratios := [name for name in header if _plain_name(name) in RATIOS]:
                message = f"'{ratios[0]}' is a ratio; give its logarithm as 'estimate' and the standard error of that"
                raise InputError(message, file=path, row=1)
            known = ", ".join(NAMES[key])
            raise InputError(f"the column is missing; expected one of {known}", file=path, row=1, column=key)
    if ("low" in named) != ("high" in named):
        there, lacking = ("low", "high") if "low" in named else ("high", "low")
        raise InputError(f"'{named[there]}' has no second end; add '{lacking}'", file=path, row=1, column=lacking)
    if not any(key in named for key in _SPREADS):
        known = "a standard error (se), a variance (vi), an interval (lower, upper), t, or p"
        raise InputError(f"the column is missing; expected is {known}", file=path, row=1, column="se")
    return EstimateColumns(named)


def _decimal(path: Path, columns: EstimateColumns, rows: Sequence[Row]) -> tuple[str, str]:
    """Return the sign before decimals in the whole file, and a note where it is in doubt."""
    numeric = [key for key in columns.named if key not in ("label", "stars", "n_units", "n_obs")]
    texts = [_bare(columns.cell(row, key))[0] for row in rows for key in numeric]
    try:
        found = decimal_sign(texts)
    except ValueError as error:
        raise InputError(str(error), file=path) from None
    return found.sign, found.note


def _bare(text: str) -> tuple[str, str]:
    """Return a cell without its brackets and stars, and the stars."""
    plain, stars = split_stars(text.strip())
    if len(plain) > 2 and plain[0] + plain[-1] in ("()", "[]"):
        plain = plain[1:-1].strip()
    return plain, stars


class _Reader:
    """Reads the rows of one file.

    Parameters
    ----------
    path, columns
        The file and its columns.
    source
        What standard errors are taken from, of `_SPREADS`.
    ci_prob
        Probability of intervals.
    decimal
        Sign before decimals, and a note on it.
    """

    def __init__(
        self, path: Path, columns: EstimateColumns, source: str, ci_prob: float, decimal: tuple[str, str]
    ) -> None:
        self._path, self._columns, self._source, self._ci_prob = path, columns, source, ci_prob
        self._decimal, self._decimal_note = decimal
        self._contradicted: list[str] = []

    def notes(self) -> tuple[str, ...]:
        """Return sentences on how the file was read."""
        words = _WORDS.get(self._source, "")
        told = words.format(column=self._columns.named.get(self._source, ""), ci=level(self._ci_prob))
        taken = f"Standard errors are taken from {told}." if words else ""
        comma = "Decimals are set off by commas." if self._decimal == "," else ""
        return tuple(note for note in (taken, comma, self._decimal_note, self._contradictions()) if note)

    def _contradictions(self) -> str:
        """Return a sentence on rows of which two columns say different things."""
        if not self._contradicted:
            return ""
        listed = ", ".join(self._contradicted[:MOST_NAMED])
        more = len(self._contradicted) - MOST_NAMED
        return (
            f"The standard error contradicts the interval or the t statistic beside it in {listed}"
            + (f" and {more} more" if more > 0 else "")
            + "; the standard error is used."
        )

    def row(self, row: Row) -> PrintedEstimate:
        """Read one row."""
        cell, wrong = self._columns.cell, self._wrong
        label = cell(row, "label") or row[self._columns.named["label"]]
        if not label:
            raise wrong(row, "label", "the cell is blank")
        if fault := fault_of_group(label):
            raise wrong(row, "label", fault)
        estimate, attached = self._number(row, "estimate", stars=True)
        stars = split_stars(cell(row, "stars"))[1] if cell(row, "stars") else attached
        if cell(row, "stars") and split_stars(cell(row, "stars"))[0]:
            stars = cell(row, "stars")
        df, _ = self._number(row, "df")
        if stars and stars not in DEFAULT_STARS:
            raise wrong(row, "stars", f"unknown stars '{stars}'; known are {', '.join(DEFAULT_STARS)}")
        if df is not None and df.value < SMALLEST_DF:
            raise wrong(row, "df", f"degrees of freedom must be at least {SMALLEST_DF}, not {df}")
        degrees = math.inf if df is None else float(df)
        se = self._standard_error(row, estimate, degrees)
        if estimate is None and (se is not None or stars):
            raise wrong(row, "estimate", "blank, but it has a standard error or stars")
        if estimate is not None and se is None:
            self._check_implied(row, estimate, stars)
        if self._source == "se" and estimate is not None and se is not None:
            self._compare(row, label, estimate, se, degrees)
        return PrintedEstimate(
            label=label,
            estimate=estimate,
            parenthesis=se,
            stars=stars,
            df=degrees,
            n_units=self._count(row, "n_units"),
            n_obs=self._count(row, "n_obs"),
        )

    def _wrong(self, row: Row, key: str, message: str) -> InputError:
        return InputError(message, file=self._path, row=row.number, column=self._columns.named.get(key, key))

    def _number(self, row: Row, key: str, *, stars: bool = False) -> tuple[PrintedNumber | None, str]:
        text = self._columns.cell(row, key)
        if not text:
            return None, ""
        bare, attached = _bare(text)
        if attached and not stars:
            raise self._wrong(row, key, f"'{text}' is not a number")
        try:
            return PrintedNumber.parse(bare, decimal=self._decimal), attached
        except ValueError as error:
            raise self._wrong(row, key, str(error)) from None

    def _count(self, row: Row, key: str) -> int | None:
        text = self._columns.cell(row, key)
        if len(text) > MOST_DIGITS:
            raise self._wrong(row, key, f"a number of {len(text)} digits cannot be a count")
        plain = plain_number(text).replace(",", "") if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text) else text
        if plain and not (plain.isascii() and plain.isdecimal()):
            raise self._wrong(row, key, f"'{text}' is not a whole number")
        return int(plain) if plain else None

    def _compare(self, row: Row, label: str, estimate: PrintedNumber, se: PrintedNumber, df: float) -> None:
        """Remember a row whose standard error is not, within rounding and a tenth, what stands beside it."""
        ranges: list[tuple[float, float]] = []
        (low, _), (high, _) = (
            self._number(row, key) if key in self._columns else (None, "") for key in ("low", "high")
        )
        if low is not None and high is not None:
            twice = 2 * critical_value(1 - self._ci_prob, df)
            shortest, longest = high.interval.low - low.interval.high, high.interval.high - low.interval.low
            ranges.append((float(shortest) / twice, float(longest) / twice))
        t, _ = self._number(row, "t") if "t" in self._columns else (None, "")
        if t is not None and t.value != 0 and estimate.value != 0:
            size, most = (sorted(abs(float(end)) for end in (n.interval.low, n.interval.high)) for n in (estimate, t))
            ranges.append((size[0] / most[1], size[1] / most[0] if most[0] > 0 else math.inf))
        printed = float(se.interval.low), float(se.interval.high)
        if any(end < printed[0] / SLACK or start > printed[1] * SLACK for start, end in ranges):
            self._contradicted.append(f"'{label}'")

    def _check_implied(self, row: Row, estimate: PrintedNumber, stars: str) -> None:
        if "stars" not in self._columns and not stars:
            raise self._wrong(row, self._source, "blank, and there is no column of stars to imply it")
        if estimate.value == 0:
            raise self._wrong(row, "se", "blank, and stars imply nothing about the standard error of an estimate of 0")

    def _standard_error(self, row: Row, estimate: PrintedNumber | None, df: float) -> PrintedNumber | None:
        """Return the standard error, as printed or as what is printed instead implies it."""
        printed, _ = self._number(row, self._source)
        if self._source == "low":
            high, _ = self._number(row, "high")
            if (printed is None) != (high is None):
                raise self._wrong(row, "low" if printed is None else "high", "blank, but the other end is there")
            if printed is None or high is None:
                return None
            return self._from_interval(row, printed, high, estimate, df)
        if printed is None:
            return None
        if self._source in ("se", "variance"):
            noun = "standard error" if self._source == "se" else "variance"
            if printed.value < 0:
                raise self._wrong(row, self._source, f"negative {noun} {printed}")
            if printed.value == 0:
                raise self._wrong(row, self._source, f"a {noun} of {printed} says that the estimate is known exactly")
            return printed if self._source == "se" else derived(math.sqrt(float(printed)))
        if estimate is None:
            raise self._wrong(row, "estimate", "blank, but it has a test")
        return self._from_test(row, estimate, printed, df)

    def _from_test(self, row: Row, estimate: PrintedNumber, printed: PrintedNumber, df: float) -> PrintedNumber:
        if estimate.value == 0 or printed.value == 0:
            zero = "an estimate" if estimate.value == 0 else f"'{printed}'"
            raise self._wrong(row, self._source, f"{zero} of 0 says nothing about the standard error; give it as se")
        if self._source == "t":
            if (estimate.value > 0) != (printed.value > 0):
                raise self._wrong(row, "t", f"{printed} has another sign than {estimate}")
            return derived(se_from_t(float(estimate), float(printed)))
        if not 0 < printed.value < 1:
            raise self._wrong(row, "p", f"{printed} is no p-value")
        return derived(se_from_p(float(estimate), float(printed), df))

    def _from_interval(
        self, row: Row, low: PrintedNumber, high: PrintedNumber, estimate: PrintedNumber | None, df: float
    ) -> PrintedNumber:
        if low.value >= high.value:
            raise self._wrong(row, "high", f"{high} is not above {low}")
        length = float(high) - float(low)
        if estimate is not None:
            rounding = sum(float(number.interval.high) - float(number) for number in (low, high)) / 2
            rounding += float(estimate.interval.high) - float(estimate)
            skew = abs((float(low) + float(high)) / 2 - float(estimate))
            if skew > rounding + LARGEST_SKEW * length:
                message = f"{estimate} is not the middle of {low} to {high}; give ratios as logarithms, or se"
                raise self._wrong(row, "estimate", message)
        return derived(length / 2 / critical_value(1 - self._ci_prob, df))
