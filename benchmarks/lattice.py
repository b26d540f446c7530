"""The whole lattice of specifications on the public study's 210 rows: seconds of the processor, member by member.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/lattice.py [WORKERS]``. Members are fitted one
after the other, and the sum of their processor's seconds over two is what two cores would take at least; with WORKERS
the command itself runs as many processes, and the clock is told. What `cbec-bayes specifications --data` does beyond
the members, weights, classical slopes and tables, is timed by itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cbec_bayes.jobs.specifications import Question, specify
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.runtime.fanout import open_executor
from cbec_bayes.specifications.lattice import lattice
from cbec_bayes.specifications.members import MemberTask, fit_member

SLOWEST = 8


def one_by_one(design: Design) -> None:
    """Time every member in this process."""
    members = lattice(design).specifications
    fit_member(MemberTask(members[0], design, seed=1))  # imports and caches
    spent: dict[str, float] = {}
    for one in members:
        begun = time.process_time()
        found = fit_member(MemberTask(one, design, seed=1))
        spent[one.name] = time.process_time() - begun
        if found["gate"]:
            print(f"{one.name}: {found['gate']}")
    total = sum(spent.values())
    print(f"{len(spent)} members: {total:.1f} s of the processor, {total / 2:.1f} s on each of two cores")
    for name in sorted(spent, key=lambda name: -spent[name])[:SLOWEST]:
        print(f"{spent[name]:8.2f} s  {name}")


def everything(design: Design, workers: int) -> None:
    """Time the question as a whole by the clock, in several processes."""
    question = Question(design=design, base=None, ssc="reghdfe", seed=1, content={})
    begun = time.perf_counter()
    with open_executor(workers) as executor:
        found = specify(question, executor=executor)
    seconds = time.perf_counter() - begun
    print(f"{workers} workers: {seconds:.1f} s by the clock, {len(found.missed)} members missed a gate")


def main() -> None:
    """Run both parts, the second where a number of workers is given."""
    design = make_design(load_study_panel("public"))
    one_by_one(design)
    for workers in sys.argv[1:]:
        everything(design, int(workers))


if __name__ == "__main__":
    main()
