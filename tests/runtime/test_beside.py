"""Work in a copy of a process: the same result or error, nothing left behind, and here where there is no copy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cbec_bayes.runtime import beside as module
from cbec_bayes.runtime.beside import beside

BEGINNING = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from cbec_bayes.runtime import beside as module
from cbec_bayes.runtime.beside import allow_copies, beside
module.cores = lambda: 2
allow_copies()
"""

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies of a process are made on Linux")


def run(program):
    """Run lines in a process of their own, which may be copied: a worker of pytest has threads."""
    done = subprocess.run([sys.executable, "-c", BEGINNING + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_is_begun_in_a_process_that_is_not_the_programs_own():
    assert not module._ALLOWED
    with beside(lambda: pytest.fail("begun")) as ahead:
        assert ahead is None


@on_linux
def test_a_copy_finds_what_this_process_would_and_says_it_once():
    program = """
print("before", end=" ")  # is buffered, and nobody's to write twice
with beside(lambda: (os.getpid(), {"sum": sum(range(10))})) as ahead:
    number, found = ahead()
print(number != os.getpid(), found["sum"])
"""
    assert run(program) == ["before", "True", "45"]


@on_linux
def test_an_error_is_raised_where_the_result_is_asked_for():
    program = """
def work():
    raise ValueError("no slope")
try:
    with beside(work) as ahead:
        print("begun")
        ahead()
except ValueError as error:
    print(error)
"""
    assert run(program) == ["begun", "no", "slope"]


@on_linux
def test_the_work_is_done_here_where_a_copy_is_killed_or_does_not_answer():
    program = """
own = os.getpid()
def killed():
    if os.getpid() != own:
        os.kill(os.getpid(), signal.SIGKILL)
    return "here"
def silent():
    if os.getpid() != own:
        time.sleep(60)
    return "also"
module.PATIENCE = 0.2
for work in (killed, silent):
    with beside(work) as ahead:
        print(ahead())
"""
    assert run(program) == ["here", "also"]


@on_linux
def test_a_copy_that_nobody_waits_for_is_ended():
    program = """
def work():
    Path(f"/proc/{os.getppid()}/comm").read_text()
    time.sleep(60)
with beside(work) as ahead:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
print(len(children), [Path(f"/proc/{one}").exists() for one in children])
"""
    assert run(program) == ["1", "[False]"]


@on_linux
def test_a_copy_ends_with_its_parent_however_that_ends():
    program = """
there, own = os.pipe()
child = os.fork()
if not child:  # the parent of the copy, which is killed
    os.close(there)
    with beside(lambda: time.sleep(60)) as ahead:
        os.write(own, Path(f"/proc/self/task/{os.getpid()}/children").read_bytes())
        os.kill(os.getpid(), signal.SIGKILL)
os.close(own)
copy = os.read(there, 100).decode().strip()
os.waitpid(child, 0)
for _ in range(200):
    # A copy without a parent is a zombie until somebody asks for it, where nobody does so for all.
    states = [line for line in Path(f"/proc/{copy}/status").read_text().splitlines() if line.startswith("State")] \\
        if Path(f"/proc/{copy}").exists() else []
    if not states or "Z" in states[0]:
        break
    time.sleep(0.05)
print(bool(copy), not states or "Z" in states[0])
"""
    assert run(program) == ["True", "True"]


@on_linux
def test_no_copy_is_made_where_a_library_has_threads_of_its_own_or_there_is_one_processor():
    program = """
import threading
print(module._can_copy())
module.active_count = lambda: threading.active_count() - 1  # as if one of them was not Python's
print(module._can_copy())
module.active_count = threading.active_count
module.cores = lambda: 1
print(module._can_copy())
"""
    assert run(program) == ["True", "False", "False"]
