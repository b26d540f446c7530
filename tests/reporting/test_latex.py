"""LaTeX of the report's tables: every sign is one that LaTeX reads, and where LaTeX is installed it compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cbec_bayes.reporting.tables import LATEX, LONG_TABLE, ReportTable
from cbec_bayes.runtime.labels import Origin

REPORTS = Path(__file__).parents[2] / "reports" / "tables"
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,longtable}
\usepackage[landscape,margin=1cm]{geometry}
\begin{document}
"""

HOSTILE = r"""\ & % $ # _ { } ~ ^ < > | − – ≠ ≤ ≥ ± × ∞ → ² β τ σ “ ” ‘ ’ é \input{x} $x$"""


def table(rows: int) -> ReportTable:
    cells = tuple(
        (HOSTILE, "a short cell", "a sentence that is far too long for one line of a table " * 2) for _ in range(rows)
    )
    return ReportTable(
        name="name_of_it",
        caption=f"A caption: {HOSTILE}",
        origin=Origin.SIMULATED,
        columns=("Head & tail", "", ""),
        rows=cells,
    )


def test_every_sign_is_escaped():
    text = table(2).latex()
    assert r"\toprule" in text
    assert r"\label{tab:name_of_it}" in text
    assert "(Origin: simulated.)" in text
    body = text.split(r"\midrule")[1]
    assert r"\textbackslash{}input\{x\}" in body
    assert r"\$x\$" in body
    assert "p{0.45\\linewidth}" in text
    for sign in LATEX:
        if not sign.isascii():
            assert sign not in text
    assert "longtable" not in text
    assert r"\begin{longtable}" in table(LONG_TABLE + 1).latex()


def test_the_committed_tables_have_no_sign_that_latex_cannot_read():
    paths = sorted(REPORTS.glob("*.tex"))
    assert len(paths) > 20
    for path in paths:
        strange = {sign for sign in path.read_text(encoding="utf-8") if ord(sign) > 255}
        assert not strange, path.name


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_the_tables_compile(tmp_path):
    bodies = [path.read_text(encoding="utf-8") for path in sorted(REPORTS.glob("*.tex"))]
    bodies += [table(2).latex(), table(LONG_TABLE + 1).latex()]
    document = PREAMBLE + "\n\\clearpage\n".join(bodies) + "\n\\end{document}\n"
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:]
