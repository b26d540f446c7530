from __future__ import annotations

import pytest

from cbec_bayes.panel.regions import load_scheme, provinces
from cbec_bayes.runtime.errors import InputError


def test_the_official_scheme():
    scheme = load_scheme("four_regions").without(["Tibet"])
    sizes = {group: len(scheme.members(group)) for group in scheme.groups}
    assert sizes == {"east": 10, "north-east": 3, "central": 6, "west": 11}
    assert scheme.members("north-east") == ("Liaoning", "Jilin", "Heilongjiang")


def test_provinces_and_schemes_have_the_same_units():
    known = provinces()
    assert len(known) == len({p.code for p in known}) == len({p.name_zh for p in known}) == 31
    for name in ("four_regions", "three_regions"):
        assert set(load_scheme(name).group_of) == {p.name_en for p in known}


def test_another_scheme_is_a_csv(tmp_path):
    path = tmp_path / "coast.csv"
    path.write_text("unit,group\nHebei,coast\nHenan,inland\n")
    scheme = load_scheme(path)
    assert (scheme.name, scheme.groups) == ("coast", ("coast", "inland"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("unit,group\nHebei,\n", "row 2, column 'group': the cell is blank"),
        ("unit,group\nHebei,a\nHebei,b\n", "row 3, column 'unit': 'Hebei' is listed twice"),
    ],
)
def test_a_bad_scheme_is_named(tmp_path, content, message):
    path = tmp_path / "s.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_scheme(path)


def test_unknown_names_say_what_there_is():
    with pytest.raises(InputError, match="there are four_regions, three_regions"):
        load_scheme("five_regions")
    scheme = load_scheme("four_regions")
    with pytest.raises(InputError, match="unknown region 'south'"):
        scheme.members("south")
    with pytest.raises(InputError, match="unknown unit 'Atlantis'"):
        scheme.without(["Atlantis"])
