"""The rooms of ARCHITECTURE.md: imports follow the data, one way, modules are short, and importing is cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cbec_bayes
from tests.support.bad_inputs import COLUMNS, table
from tests.support.shape import circles, long_calls, long_functions, long_modules, positional_dataclasses

SOURCE = Path(cbec_bayes.__file__).parent
ROOT = Path(__file__).parents[1]
ORDER = (
    "runtime",
    "panel",
    "classical",
    "bayes",
    "estimands",
    "checks",
    "calibration",
    "specifications",
    "published",
    "replication",
    "reconstruction",
    "jobs",
    "reporting",
    "commands",
)
BAYES = (
    "moments",
    "model",
    "likelihood",
    "sampling",
    "many_units",
    "of_controls",
    "observations",
    "posterior",
    "pymc",
    "shown",
    "fit",
    "events",
    "refit",
    "predictive",
    "before_data",
    "predictions",
    "whole_units",
    "loo",
)
"""Rooms of bayes, and its modules: columns of a model are identified by their moments, so that these come first."""

PUBLISHED = (
    "intervals",
    "number",
    "stars",
    "stated",
    "between_shape",
    "summary_model",
    "printed",
    "described",
    "readings",
    "facts",
    "audit",
    "reading",
    "spread",
    "terms",
    "estimates",
    "workbook",
    "estimate_file",
    "from_tables",
    "quadrature",
    "conditional",
    "mixture",
    "pooled",
    "scale_curve",
    "posterior",
    "robust",
    "summary",
    "results",
    "shrinkage",
    "leave_one_out",
    "meta_regression",
    "conclusions",
    "twin",
)


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
    return [name for name in names if name.startswith("cbec_bayes.")]


def violations(order: tuple[str, ...], root: Path, prefix: str) -> list[str]:
    def room_of(name: str) -> str:
        return name.split(".")[0]

    found = []
    for path in sorted(root.rglob("*.py")):
        room = room_of(path.relative_to(root).as_posix().removesuffix(".py").replace("/", "."))
        if room in ("__init__", "__main__"):
            continue
        assert room in order, f"{room} has no place in the order of rooms"
        for name in imports(path):
            if not name.startswith(prefix):
                continue
            other = room_of(name.removeprefix(prefix))
            if order.index(other) > order.index(room):
                found.append(f"{path.relative_to(root)} imports {name}")
    return found


def test_rooms_import_one_way():
    assert violations(ORDER, SOURCE, "cbec_bayes.") == []


def test_modules_of_published_import_one_way():
    assert violations(PUBLISHED, SOURCE / "published", "cbec_bayes.published.") == []


def test_rooms_of_bayes_import_one_way():
    assert violations(BAYES, SOURCE / "bayes", "cbec_bayes.bayes.") == []


@pytest.mark.parametrize(("one", "other"), [("classical", "bayes"), ("bayes", "classical")])
def test_the_two_estimators_do_not_know_each_other(one, other):
    own = [name for path in (SOURCE / one).rglob("*.py") for name in imports(path)]
    assert not [name for name in own if name.startswith(f"cbec_bayes.{other}")]


def test_the_order_can_be_violated():
    assert violations(ORDER[::-1], SOURCE, "cbec_bayes.") != []
    assert violations(BAYES[::-1], SOURCE / "bayes", "cbec_bayes.bayes.") != []


def test_no_modules_import_each_other_in_a_circle():
    assert circles() == []


def test_a_circle_is_found(tmp_path):
    (tmp_path / "one.py").write_text("from cbec_bayes.two import x\n")
    (tmp_path / "two.py").write_text("def f():\n    import cbec_bayes.one\n")
    assert len(circles(tmp_path)) == 1


@pytest.mark.parametrize("over_the_limit", [long_modules, long_functions, long_calls, positional_dataclasses])
def test_nothing_in_the_source_is_too_long_to_be_told_apart(over_the_limit):
    assert over_the_limit() == []


def test_what_is_too_long_is_found(tmp_path):
    fields = "".join(f"    f{k}: int\n" for k in range(6))
    body = "".join(f"    x = {k}\n" for k in range(61))
    (tmp_path / "long.py").write_text(
        f"@dataclass(frozen=True)\nclass A:\n{fields}\ndef f():\n{body}\nf(1, 2, 3, 4, 5, 6)\n" + "#\n" * 400
    )
    for over_the_limit in (long_modules, long_functions, long_calls, positional_dataclasses):
        assert len(over_the_limit(tmp_path)) == 1


def test_no_test_module_imports_another():
    """What tests share stands in tests/support."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            others = [name for name in names if re.match(r"tests\b(?!\.support\b)", name)]
            found += [f"{path.relative_to(ROOT)} imports {name}" for name in others]
            if isinstance(node, ast.ImportFrom) and node.level:
                found.append(f"{path.relative_to(ROOT)} imports by a relative path")
    assert found == []


def tables(page: str) -> list[list[str]]:
    """Return the rows of all tables of a page of the root, each a list of cells."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines if line.startswith("|")]


def missing(page: str) -> list[str]:
    """Return the paths in the tables of a page that lead nowhere.

    A path is whatever stands in backticks and ends as a module or a folder does; it is one of the root, of the package,
    or of the folder that the row has named before it.
    """
    found = []
    for row in tables(page):
        folders = [ROOT, SOURCE]
        for name in re.findall(r"`([\w./-]+(?:\.py|/))`", "|".join(row)):
            there = [folder / name for folder in folders if (folder / name).exists()]
            found += [] if there else [name]
            further = [path if path.is_dir() else path.parent for path in there]
            folders += [folder for folder in dict.fromkeys(further) if folder not in folders]
    return found


@pytest.mark.parametrize("page", ["MODEL.md", "ARCHITECTURE.md"])
def test_every_path_in_the_tables_of_a_page_exists(page):
    assert missing(page) == []
    assert [cell for row in tables(page) for cell in row if ".py`" in cell]


def test_every_room_has_its_line_in_the_table_of_architecture():
    named = " ".join(cell for row in tables("ARCHITECTURE.md") for cell in row)
    rooms = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()]
    assert [room for room in rooms if f"`{room}/" not in named] == []


def sections(text: str) -> dict[str, str]:
    """Return the numbered sections of MODEL.md by their numbers."""
    return {head[0]: head[1] for head in re.findall(r"^## (\d+)\. (.*)$", text, flags=re.MULTILINE)}


def test_what_is_cited_of_the_model_page_is_there():
    """Sections by their number, and limits by theirs, wherever in the sources and the tests."""
    page = (ROOT / "MODEL.md").read_text(encoding="utf-8")
    cited = 0
    for path in (*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
        for number in re.findall(r"MODEL\.md,? section (\d+)", text):
            assert number in sections(page), f"{path.name} cites section {number}"
            cited += 1
        for limits in re.findall(r"\(MODEL\.md(?: section 3)?, (L[^)]*)\)", text):
            for limit in re.findall(r"L\d", limits):
                assert f"| {limit} " in page, f"{path.name} cites {limit}"
                cited += 1
    assert cited > 15


@pytest.mark.parametrize("command", ["import cbec_bayes", "import cbec_bayes.commands.program"])
def test_import_is_cheap(command):
    heavy = "{'pymc', 'arviz', 'matplotlib', 'pandas', 'scipy', 'numpy', 'nutpie', 'pydantic'}"
    code = f"import sys; {command}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fit_imports_only_what_it_needs(tmp_path):
    """Regressions are run directly there, and nothing is drawn: each of these takes a third of a second to a second."""
    table().to_csv(tmp_path / "panel.csv", index=False)
    named = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
    asked = ["fit", "--data", "panel.csv", *named, "--model", "partial_pooling", "-q"]
    heavy = "{'pymc', 'pyfixest', 'matplotlib.pyplot', 'arviz_plots', 'numba'}"
    code = (
        "import sys\nfrom cbec_bayes.commands.program import main\n"
        f"try:\n    main({asked})\nexcept SystemExit as end:\n    print(end.code, sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_every_public_name_resolves():
    for name in cbec_bayes.__all__:
        assert callable(getattr(cbec_bayes, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cbec_bayes.nothing
