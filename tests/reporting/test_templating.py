"""What every page does with the texts it is given."""

from __future__ import annotations

import pytest

from cbec_bayes.reporting.templating import true_minus

MINUS = "\u2212"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-1.5", f"{MINUS}1.5"),
        ("-.775", f"{MINUS}.775"),
        ("0.2 (-0.1 to 0.5)", f"0.2 ({MINUS}0.1 to 0.5)"),
        ("from -1.2e-05 to 3", f"from {MINUS}1.2e-05 to 3"),
        ("leads -3 -2", f"leads {MINUS}3 {MINUS}2"),
        ("[-2, -1]", f"[{MINUS}2, {MINUS}1]"),
    ],
)
def test_negative_numbers_have_a_minus_sign(text, shown):
    assert true_minus(text) == shown


@pytest.mark.parametrize(
    "text",
    ["2014-2021", "north-east", "half-normal", "tables/effects-2.csv", "--missing -9", "1e-05", "-", "a - b", ""],
)
def test_other_hyphens_stay(text):
    assert true_minus(text) == text


def test_markup_and_other_values_stay():
    class Drawing(str):
        __slots__ = ()

        def __html__(self) -> str:
            return self

    drawn = Drawing('<path d="M 0 -1"/>')
    assert true_minus(drawn) is drawn
    assert true_minus(-1) == -1
