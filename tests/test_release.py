"""The sdist and the wheel: whole, typed, and at work in an environment of their own, away from the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import cbec_bayes
from tests.support.bad_inputs import COLUMNS, table

pytestmark = pytest.mark.nightly

TREE = Path(__file__).parents[1]
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKED = ("data", "models")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the sdist, and the wheel that is built from it and not from the tree."""
    out = tmp_path_factory.mktemp("dist")
    asked = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(TREE)]
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs' folder of an environment that has the wheel; what it depends on is this one's."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(built[1])], check=True, timeout=300)
    (site,) = home.glob("lib/python*/site-packages")
    # A path alone: files .pth there, such as that of the tree's own editable install, are not followed.
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def run(program: Path, *arguments: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    asked = [str(program), *map(str, arguments)]
    ran = subprocess.run(asked, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def assets() -> set[str]:
    return {path.relative_to(TREE).as_posix() for kind in PACKED for path in (TREE / kind).rglob("*") if path.is_file()}


def test_the_version_is_in_one_place():
    assert cbec_bayes.__version__ == metadata.version("cbec_bayes") == PROJECT["version"]
    assert f"## {PROJECT['version']} (" in (TREE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {PROJECT['version']}" in (TREE / "CITATION.cff").read_text(encoding="utf-8")
    elsewhere = [p for p in (TREE / "src").rglob("*.py") if PROJECT["version"] in p.read_text(encoding="utf-8")]
    assert elsewhere == []


def test_every_dependency_is_pinned_and_no_host_is_named():
    text = (TREE / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?", line) for line in lines)
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in lines}
    extras = PROJECT["optional-dependencies"]
    for one in [*PROJECT["dependencies"], *(need for extra in extras.values() for need in extra)]:
        assert re.split(r"[<>=\[; ]", one)[0].lower() in pinned


@pytest.mark.slow
def test_what_travels_in_the_wheel(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    sources = {path.relative_to(TREE / "src").as_posix() for path in (TREE / "src" / "cbec_bayes").rglob("*")}
    wanted = {name for name in sources if Path(name).suffix in (".py", ".j2", ".css", ".mplstyle", ".typed", ".js")}
    assert "cbec_bayes/py.typed" in wanted
    assert wanted <= names
    assert {f"cbec_bayes/assets/{name}" for name in assets()} <= names
    rest = {name for name in names if not name.startswith("cbec_bayes/")}
    assert all(name.startswith(f"cbec_bayes-{PROJECT['version']}.dist-info/") for name in rest)
    assert any(name.endswith("LICENSE") for name in rest)
    with tarfile.open(sdist) as packed:
        members = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", *assets()} <= members
    assert {f"src/{name}" for name in wanted} <= members
    assert not [name for name in members if name.startswith((".venv", "dist", "build")) or "__pycache__" in name]


@pytest.mark.slow
def test_the_wheel_works_away_from_the_tree(installed, tmp_path):
    where = run(installed / "python", "-c", "import cbec_bayes; print(cbec_bayes.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(installed.parent)
    program = installed / "cbec-bayes"
    assert run(program, "--version", cwd=tmp_path) == f"{PROJECT['version']}\n"
    assert "partial_pooling" in run(program, "models", cwd=tmp_path)
    assert "Cross-border" in run(program, "studies", cwd=tmp_path)
    assert "No reading of (0.259) agrees" in run(program, "audit", cwd=tmp_path)
    assert "Origin: observed." in run(program, "replicate", "--study", "public", "--no-few", cwd=tmp_path)
    table().to_csv(tmp_path / "panel.csv", index=False)
    roles = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
    run(program, "fit", "--data", "panel.csv", *roles, "--out", "out", "--quiet", cwd=tmp_path)
    assert (tmp_path / "out" / "effects.csv").is_file()
    run(program, "moments", "panel.csv", *roles, "--out", "panel.nc", "--quiet", cwd=tmp_path)
    run(program, "fit", "--moments", "panel.nc", "--quiet", cwd=tmp_path)
    printed = "label,estimate,se\na,0.1,0.2\nb,0.5,0.2\nc,0.4,0.1\n"
    (tmp_path / "printed.csv").write_text(printed)
    run(program, "published", "printed.csv", cwd=tmp_path)
