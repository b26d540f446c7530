"""What a page may be asked for: labels and formats, as they are typed, and what is wrong with others."""

from __future__ import annotations

import pytest

from cbec_bayes.reporting.pageoptions import DEFAULT, page_options
from cbec_bayes.runtime.errors import InputError


def test_what_is_typed_is_read():
    asked = page_options(["pcap=public capital", " a = b=c "], " PNG, pdf,png,svg", "docx,xlsx")
    assert asked.label("pcap") == "public capital"
    assert asked.label("a") == "b=c"
    assert asked.label("unemp") == "unemp"
    assert asked.images == ("png", "pdf")  # SVG is always there
    assert asked.exports == ("docx", "xlsx")


def test_words_reach_terms_of_formulas_and_what_sentences_quote():
    asked = page_options(["pcap=public capital", "year=budget year"])
    assert asked.label("log(pcap)") == "the log of public capital"
    assert asked.label("l(pcap, 1):unemp") == "l(public capital, 1):unemp"
    said = "The year is in 'log(pcap)', 'year' and 'unemp'; pcap is the column of 'A b'."
    told = "The year is in the log of public capital, budget year and 'unemp'; pcap is the column of 'A b'."
    assert asked.relabelled(said) == told  # what is not quoted may be a word
    assert DEFAULT.relabelled(said) == said


def test_a_page_of_which_nothing_is_asked_depends_on_its_fit_alone():
    assert page_options() == DEFAULT
    assert DEFAULT.content() == {}
    assert page_options(["a=b"]).content() == {"labels": {"a": "b"}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labels": ["pcap"]}, "not of the form COLUMN=TEXT"),
        ({"labels": ["=x"]}, "not of the form COLUMN=TEXT"),
        ({"labels": ["x="]}, "not of the form COLUMN=TEXT"),
        ({"labels": ["x=a", "x=b"]}, "'x' has two labels"),
        ({"labels": ["x=a\x1bb"]}, "invisible sign"),
        ({"figures": "gif"}, "unknown format 'gif'; .*svg, png, pdf"),
        ({"tables": "xls"}, "unknown format 'xls'; did you mean 'xlsx'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        page_options(**given)


def test_a_label_of_a_column_that_the_fit_has_not():
    with pytest.raises(InputError, match="no column 'pcp'; did you mean 'pcap'"):
        page_options(["pcp=public capital"]).require_columns(["gsp", "pcap"])
