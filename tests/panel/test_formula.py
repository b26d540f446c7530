"""Formulas: what they compute, against pyfixest and pandas; what they refuse, and what they leave out."""

from __future__ import annotations

import warnings
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.classical.regression import twfe
from cbec_bayes.jobs.asked import formula_of_roles
from cbec_bayes.panel import Reading, Roles, make_panel, read_panel
from cbec_bayes.panel.cells import Source
from cbec_bayes.panel.computed import row_values
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.expressions import Piece, Values
from cbec_bayes.panel.formula import label, read_formula
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

DROP = Reading(collinearity="drop")


def frame(*, holes: bool = False, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    firm, year = np.divmod(np.arange(160), 8)
    found = pd.DataFrame({"firm": firm, "year": 2000 + year, "x": rng.normal(size=160)})
    found["z"] = rng.exponential(size=160)
    found["my col"] = rng.normal(size=160)
    found["sector"] = rng.integers(1, 12, size=160)
    found["s"] = rng.choice(["a", "b", "c"], size=160)
    found["region"] = np.where(firm < 7, "west", "east")
    found["y"] = np.exp(0.3 * found["x"] + 0.2 * np.log(found["z"]) + rng.normal(size=20)[firm] + rng.normal(size=160))
    if holes:
        found.loc[3, "y"] = 0
        found.loc[9, "z"] = np.nan
        found.loc[20, "s"] = None
        found = found.drop(index=[33, 50, 51, 152]).sample(frac=1, random_state=1).reset_index(drop=True)
    return found


FORMULAS = [
    "log(y) ~ x + log(z) + i(sector) | firm + year",
    "y ~ x*z + C(s) | firm + year",
    "y ~ x + i(s, z) | firm + year",
    "y ~ x + i(s, z, ref='b') | firm + year",
    "y ~ x + i(sector, ref=3) + I(x**2) | firm + year",
    "y ~ x + C(s):z | firm + year",
    "sqrt(y) ~ x + `my col` + I(`my col` * x / (1 + z)) | firm + year",
    "y ~ log(z):x + x + exp(-z) - 1 | firm + year",
    "y ~ x + C(s)*C(sector) | firm + year",
    "log(y) ~ x + {z + 1} + i(year) + i(region) | firm + year",
    "log(y) ~ x + log(z) + I((year - 2000)**2) | firm",
    "log(y) ~ x + log(z) + i(year) | firm",
    "log(y) ~ x + log(z) | firm + region^year",
    "log(y) ~ x + C(s) | firm + year + year^region",
]


def by_pyfixest(formula: str, table: pd.DataFrame):
    import pyfixest as pf
    from pyfixest.demeaners import MapDemeaner

    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore")
        exact = MapDemeaner(fixef_tol=1e-13, fixef_maxiter=100_000)
        return pf.feols(
            formula, table.copy(), fixef_rm="none", vcov={"CRV1": "firm"}, demeaner=exact, context={"sqrt": np.sqrt}
        )


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("formula", FORMULAS)
def test_slopes_and_rows_are_those_of_pyfixest(formula, holes):
    table = frame(holes=holes)
    other = by_pyfixest(formula, table)
    panel = make_panel(table, read_formula(formula, time="year", group="region" if "^" in formula else None))
    assert panel.n_obs == other._N
    own = twfe(make_design(panel))
    found, expected = dict(zip(own.terms, own.estimate, strict=True)), other.coef().to_dict()
    close = {name.replace(" ", ""): value for name, value in expected.items()}
    assert len(found) == len(expected)
    assert found[own.terms[0]] == pytest.approx(close[own.terms[0].replace(" ", "")], abs=1e-8)
    shared = [name for name in found if name.replace(" ", "") in close]
    if "C(sector)" not in formula:  # of a rank that falls short, which columns go is a choice
        assert len(shared) == len(found)
        for name in shared:
            assert found[name] == pytest.approx(close[name.replace(" ", "")], abs=1e-8), name
    assert own.rss == pytest.approx(float(np.sum(np.asarray(other._u_hat) ** 2)), rel=1e-8)


def shifted(table: pd.DataFrame, name: str, steps: int) -> pd.Series:
    """Lag by pandas alone: every period of every unit laid out, shifted, and read off again."""
    keys = pd.MultiIndex.from_product([table["firm"].unique(), range(1990, 2020)], names=["firm", "year"])
    long = table.set_index(["firm", "year"])[name].reindex(keys)
    moved = long.groupby(level="firm").shift(steps)
    return moved.reindex(pd.MultiIndex.from_frame(table[["firm", "year"]])).reset_index(drop=True)


@pytest.mark.parametrize("holes", [False, True])
def test_lags_and_leads_are_of_elapsed_periods_of_the_same_unit(holes):
    table = frame(holes=holes)
    values = Values(Source(table, np.arange(len(table))), table["firm"].to_numpy(), table["year"].to_numpy(dtype=float))
    for text, steps in {"l(z, 1)": 1, "l(z)": 1, "l(z, 2)": 2, "f(z)": -1, "f(z, 3)": -3, "l(z, 0)": 0}.items():
        found = values.numbers(Piece(text, is_name=False))
        np.testing.assert_array_equal(found, shifted(table, "z", steps), err_msg=text)
    nested = values.numbers(Piece("l(log(z) * 2, 1) - f(l(z))", is_name=False))
    here = table["z"].where(shifted(table.assign(one=1.0), "one", -1).notna())
    np.testing.assert_allclose(nested, np.log(shifted(table, "z", 1)) * 2 - here)
    quarters = table.assign(year=[f"{2000 + t // 4}Q{t % 4 + 1}" for t in table["year"] - 2000])
    panel = make_panel(quarters, read_formula("y ~ x + l(x) | firm + year"))
    same = make_panel(table, read_formula("y ~ x + l(x) | firm + year"))
    np.testing.assert_array_equal(panel.frame["l(x)"], same.frame["l(x)"])


def test_rows_that_a_formula_cannot_use_stand_in_the_ledger_with_the_reason():
    table = frame(holes=True)
    panel = make_panel(table, read_formula("log(y) ~ x + l(z, 1) + i(s) | firm + year"))
    ledger = panel.ledger
    assert panel.n_obs + len(ledger) == len(table)
    said = ledger["reason"].value_counts()
    assert said["'log(y)' does not exist where 'y' is 0"] == 1
    assert said["'s' is missing"] == 1
    lags = ledger[ledger["reason"] == "'l(z, 1)' is of a period that is not there, or has no value then"]
    firsts = table.groupby("firm")["year"].min()
    assert (lags["time"] == 2000).sum() + said[said.index.str.contains(";")].sum() >= (firsts == 2000).sum()
    at = table.index[(table["firm"] == 0) & (table["year"] == 2003)][0]
    assert ledger.set_index("row").loc[at + 2, "reason"].startswith("'log(y)'")
    # A missing cell costs the row after it, whose lag it is, and its own only where it stands itself.
    missing = table.loc[table["z"].isna(), ["firm", "year"]].iloc[0]
    kept = set(map(tuple, panel.frame[["firm", "year"]].astype(int).to_numpy()))
    assert (missing["firm"], missing["year"]) in kept
    assert (missing["firm"], missing["year"] + 1) not in kept


def test_what_no_row_has_is_said(monkeypatch):
    with pytest.raises(
        InputError, match=r"no value in any row; the reason in the first row is that 'log\(x\)' does not exist for x"
    ):
        make_panel(frame().assign(x=lambda d: -d["z"]), read_formula("y ~ log(x) | firm + year"))
    with pytest.raises(InputError, match=r"row 2, column 's': '.' is not a number.*in a formula i\(s\) takes categ"):
        make_panel(frame(), read_formula("y ~ x + s | firm + year"))
    with pytest.raises(InputError, match=r"row 2, column 'exp\(x\)': the value is beyond 1e\+20"):
        make_panel(frame().assign(x=lambda d: 100 + d["z"]), read_formula("y ~ exp(x) | firm + year"))
    with pytest.raises(InputError, match="column 'w': no such column"):
        make_panel(frame(), read_formula("y ~ x + log(w) | firm + year"))
    with pytest.raises(InputError, match="column 's': ref names no category of the column: 'd'"):
        make_panel(frame(), read_formula("y ~ x + i(s, ref='d') | firm + year"))
    monkeypatch.setattr("cbec_bayes.panel.computed.MOST_LEVELS", 100)
    with pytest.raises(InputError, match="160 categories are more than 100"):
        make_panel(frame().assign(s=range(160)), read_formula("y ~ x + i(s) | firm + year"))


def test_categories_that_effects_explain_are_left_out_with_one_sentence_and_numbers_are_refused():
    panel = make_panel(frame(), read_formula("y ~ x + i(year) + C(region) | firm + year"))
    assert panel.roles.regressors == ("x",)
    assert [note for note in panel.notes if "left out" in note] == [
        "effects or other regressors explain 8 columns of categories (year::2001, year::2002, year::2003, year::2004, "
        "year::2005 and 3 more): left out"
    ]
    twice = read_formula("y ~ x + I(2 * x) | firm + year")
    with pytest.raises(InputError, match=r"'I\(2 \* x\)' is a multiple of 'x'"):
        make_panel(frame(), twice)
    assert make_panel(frame(), twice, reading=DROP).roles.regressors == ("x",)


def test_codes_of_categories_stay_text(tmp_path):
    table = frame().assign(code=lambda d: np.array(["1.1", "1.10", "2"])[d["sector"] % 3])
    table.to_csv(tmp_path / "p.csv", index=False)
    panel = read_panel(tmp_path / "p.csv", read_formula("y ~ x + i(code) | firm + year"))
    assert panel.roles.controls == ("code::1.10", "code::2")


def test_missing_codes_words_and_conditions_hold_for_formulas_too():
    table = frame().assign(w=lambda d: np.where(d["x"] > 0, "yes", "no"))
    table["x"] = table["x"].where(table.index != 5, -9)
    reading = Reading(missing=("-9",), where="year >= 2001")
    panel = make_panel(table, read_formula("y ~ I(x + 1) + w | firm + year"), reading=reading)
    assert (panel.times[0], panel.n_obs) == (2001, 139)
    assert panel.ledger["reason"].tolist() == ["'x' is missing"]
    assert "'w' has yes and no, taken as 1 and 0" in panel.notes
    origins = {"x": Origin.RECONSTRUCTED, "y": Origin.OBSERVED}
    made = make_panel(table, read_formula("log(y) ~ I(x + 1) | firm + year"), origins=origins)
    assert made.origin is Origin.RECONSTRUCTED


def test_means_are_those_of_all_rows_that_have_a_value():
    table = frame().assign(x=lambda d: d["x"].where(d.index != 7))
    panel = make_panel(table, read_formula("y ~ z + scale(x) + center(x):z | firm + year"))
    x = table["x"].drop(index=7)
    np.testing.assert_allclose(panel.frame["scale(x)"], (x - x.mean()) / x.std())
    np.testing.assert_allclose(panel.frame["center(x):z"], (x - x.mean()) * table["z"].drop(index=7))


def test_which_effect_is_which_and_which_regressor_is_the_exposure():
    found = read_formula("y ~ z + log( x ) + z:x | firm + year", exposure="log(x)", group="region")
    assert [label(term) for term in found.terms] == ["log(x)", "z", "z:x"]
    assert (found.unit, found.time, found.group, found.told) == ("firm", "year", "region", ())
    for options in ({"unit": "firm"}, {"time": "year"}, {"unit": "firm", "time": "year"}):
        turned = read_formula("y ~ x | year + firm", **options)
        assert (turned.unit, turned.time) == ("firm", "year")
    quoted = read_formula("`a b` ~ `c d` | `fi rm` + `ye ar`")
    assert (quoted.outcome.text, quoted.unit, quoted.time) == ("a b", "fi rm", "ye ar")
    none = read_formula("y ~ x", unit="firm", time="year")
    assert none.told == ("the formula has no effects after |: those of 'firm' and 'year' are taken",)
    assert none.told[0] in make_panel(frame(), none).notes


def test_effects_of_units_alone_and_of_periods_within_groups():
    one = read_formula("y ~ x | firm", time="year")
    assert (one.unit, one.time, one.period_effects) == ("firm", "year", PeriodEffects.NONE)
    panel = make_panel(frame(), one)
    assert "the formula has effects of 'firm' alone: no effects of periods are taken, in any model" in panel.notes
    same = frame().assign(x=lambda d: d["year"] ** 1.5)  # the same for all units, and identified all the same
    assert make_design(make_panel(same, one)).effect_names == "unit"
    with pytest.raises(InputError, match="'x' is the same for all units in each period"):
        make_panel(same, read_formula("y ~ x | firm + year"))
    for effects in ("firm + region^year", "year^region + firm", "firm + year + region^year"):
        found = read_formula(f"y ~ x | {effects}", group="region")
        assert (found.unit, found.time, found.period_effects) == ("firm", "year", PeriodEffects.BY_GROUP)
    panel = make_panel(frame(), found)
    assert make_design(panel).effect_names == "unit+group^time"
    assert panel.of_group("west").effect_codes.max() == 7
    within = frame().assign(x=lambda d: d["year"] ** 1.5 * (d["region"] == "west"))
    with pytest.raises(InputError, match="'x' is the same for all units of a group in each period"):
        make_panel(within, found)
    for asked in (one, found):
        with pytest.raises(
            InputError,
            match=r"moments allow only effects of units and of periods; write \| firm \+ year",
        ):
            asked.of_one_row()


def test_lags_and_leads_as_options_stand_beside_the_exposure():
    found = read_formula("y ~ `my col` + l(`my col`, 1) + z | firm + year", lags=2, leads=1)
    assert [label(term) for term in found.terms] == [
        "my col",
        "f(`my col`, 1)",
        "l(`my col`, 1)",
        "l(`my col`, 2)",
        "z",
    ]
    roles = Roles(outcome="y", exposure="x", controls=("z",), unit="firm", time="year", group="region")
    same = read_formula("y ~ x + f(x, 1) + l(x, 1) + z | firm + year", group="region")
    one, two = (make_panel(frame(), asked) for asked in (formula_of_roles(roles, lags=1, leads=1), same))
    pd.testing.assert_frame_equal(one.frame, two.frame)
    with pytest.raises(InputError, match="--lags and --leads need an exposure that is one column, and it is x:z"):
        read_formula("y ~ x:z | firm + year", lags=1)
    with pytest.raises(InputError, match="--leads: between 0 and 50"):
        read_formula("y ~ x | firm + year", leads=51)


REFUSED = [
    ("y ~ x.mean() | a + b", r"'x.mean\(\)' cannot stand in a formula; a formula takes I, log"),
    ("y ~ np.log(x) | a + b", r"'np.log\(x\)' cannot stand"),
    ("y ~ x + __import__('os').system('ls') | a + b", "cannot be read"),
    ("y ~ {().__class__} | a + b", r"'\(\).__class__' cannot stand"),
    ("y ~ I([q for q in x]) | a + b", r"'\[q for q in x\]' cannot stand"),
    ("y ~ I(lambda: 1) | a + b", "'lambda: 1' cannot stand"),
    ("y ~ I(`a b`.c) | a + b", "'`a b`.c' cannot stand"),
    ("y ~ eval(x) | a + b", r"'eval\(x\)' cannot stand"),
    ("y ~ log(x, 2) | a + b", r"'log\(x, 2\)' cannot stand"),
    ("y ~ l(x, z) | a + b", r"'l\(x, z\)' cannot stand"),
    ("y ~ x + i(s, bin=3) | a + b", r"'i\(s, bin=3\)' cannot stand"),
    ("y ~ x + i(s, ref=z) | a + b", "'z' cannot stand"),
    ("y ~ x:i(s, z) | a + b", r"'i\(s, z\)' cannot be part of a product"),
    ("y ~ 2 * x | a + b", r"'2' cannot stand alone in a formula; write I\(2 \* x\) to compute"),
    ("y ~ x / z | a + b", "'/' cannot stand between the terms"),
    ("y ~ (x + z)**2 | a + b", r"'\*\*' cannot stand between the terms"),
    ("y ~ x ^ z | a + b", r"'\^' cannot stand between the terms"),
    ("y ~ a*b*c*d*e*f*g*h | a + b", r"more than 6 signs \*"),
    ("y ~ i(s) | a + b", "an exposure must be a number"),
    ("C(y) ~ x | a + b", "the outcome must be a number"),
    ("y + w ~ x | a + b", "several outcomes"),
    ("y ~ 1 | a + b", "no regressor after ~"),
    ("~ x | a + b", "an outcome and a ~ are needed"),
    ("y ~ x | a + b | w ~ q", "instrumental variables are not supported"),
    ("y ~ x", "no effects: write"),
    ("y ~ x | a", "effects of 'a' alone: --time must name the periods"),
    ("y ~ x | a + b + c + d + e + f + g", "5 sets of effects beside units and periods are more than 4"),
    ("y ~ x | b^c", r"the effects b\^c include none of units"),
    ("y ~ x | a + b^c + d^e", r"it is not clear which of the effects a \+ b\^c \+ d\^e are those of periods"),
    ("y ~ x | C(a) + b", r"'C\(a\)' cannot be used among the effects"),
    ("y ~ x | a +", "end in a sign"),
    ("y ~ x + ( | a + b", "cannot be read"),
    ("y ~ " + "x + " * 600 + "x | a + b", "more than 2000 signs"),
]


@pytest.mark.parametrize(("formula", "message"), REFUSED)
def test_what_a_formula_may_not_have_is_refused_in_one_line(formula, message):
    with pytest.raises(InputError, match=message) as raised:
        read_formula(formula)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exposure": "w"}, "--exposure: the formula has no 'w'"),
        ({"unit": "state"}, r"--unit is 'state', and the formula's effects are firm \+ year"),
        ({"unit": "firm", "time": "firm"}, "--unit and --time are both 'firm'"),
    ],
)
def test_options_that_do_not_go_with_the_formula_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        read_formula("y ~ x | firm + year", **options)


def test_options_that_do_not_go_with_other_effects_are_refused():
    with pytest.raises(InputError, match="--unit is 'state', and the formula has effects of 'firm' alone"):
        read_formula("y ~ x | firm", unit="state", time="year")
    with pytest.raises(InputError, match=r"--unit is 'year', and the formula's effects are firm \+ region\^year"):
        read_formula("y ~ x | firm + region^year", group="region", unit="year")


@pytest.mark.parametrize(
    ("effects", "options", "time", "periods", "further"),
    [
        ("firm + state^year", {}, "year", PeriodEffects.COMMON, (("state", "year"),)),
        ("firm + year + state^year", {"group": "region"}, "year", PeriodEffects.COMMON, (("state", "year"),)),
        ("firm + region^year + state^year", {"group": "region"}, "year", PeriodEffects.BY_GROUP, (("state", "year"),)),
        ("firm + year + industry", {}, "year", PeriodEffects.COMMON, (("industry",),)),
        ("firm^industry + firm + year", {"time": "year"}, "year", PeriodEffects.COMMON, (("firm", "industry"),)),
        ("firm + region^year", {"time": "month"}, "month", PeriodEffects.NONE, (("region", "year"),)),
        ("firm + a^year + year^b", {}, "year", PeriodEffects.COMMON, (("a", "year"), ("year", "b"))),
    ],
)
def test_further_effects(effects, options, time, periods, further):
    found = read_formula(f"y ~ x | {effects}", **options)
    assert (found.unit, found.time, found.period_effects, found.absorbed) == ("firm", time, periods, further)
    assert "are flat, as the formula says, in any model" in found.told[-1]


def test_numbers_without_a_bound_are_not_computed():
    with pytest.raises(InputError, match="no value in any row"):
        make_panel(frame(), read_formula("y ~ I(9**9**9**9 * x) | firm + year"))


def test_values_of_one_row_are_told_without_the_others():
    found = read_formula("log(y) ~ x:z + I(x**2) | firm + year", group="region")
    roles = found.of_one_row()
    assert (roles.measured, roles.group) == (("log(y)", "x:z", "I(x ** 2)"), "region")
    table = frame(holes=True)
    whole = make_panel(table, found).frame
    with np.errstate(all="ignore"):
        rows = row_values(Source(table, np.arange(len(table))), found)
    known = ~np.isnan(rows).any(axis=1)
    there = table.assign(**dict(zip(roles.measured, rows.T, strict=True)))[known]
    pd.testing.assert_frame_equal(
        there[["firm", "year", *roles.measured]].sort_values(["firm", "year"], ignore_index=True).astype({"firm": str}),
        whole[["firm", "year", *roles.measured]]
        .assign(firm=whole["firm"].astype(int))
        .sort_values(["firm", "year"], ignore_index=True)
        .astype({"firm": str}),
    )
    for text in ("l(x)", "f(x, 2)", "i(s)", "C(s)", "scale(x)", "I(1 + center(x))"):
        with pytest.raises(InputError, match="needs other rows of the file, but it is read in batches"):
            read_formula(f"y ~ x + {text} | firm + year").of_one_row()


PIECES = [
    "x",
    "z",
    "log(z)",
    "i(s)",
    "`my col`",
    "l(x, 1)",
    "C(s)",
    "firm",
    "year",
    "region^year",
    "y",
    "log(",
    "I(x**",
]
PIECES += [*"()~|+-*:^10'`{}[.,é9", '"', "**", "\\", "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_whatever_is_written_is_read_or_refused_in_one_line(pieces):
    for text in (" ".join(pieces), "y ~ x + " + "".join(pieces) + " | firm + year", "y ~ x | " + " ".join(pieces)):
        with suppress(InputError):
            found = read_formula(text, group="region")
            assert found.outcome.text
            assert found.numeric
