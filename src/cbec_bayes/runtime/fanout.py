"""Many independent pieces of work: in this process, in several, or on a Dask cluster, with the same numbers.

A piece carries its own seed and runs with one thread of linear algebra, so that what it finds does not depend on who
runs it, on how many others there are, or on the order in which they end.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from cbec_bayes.runtime.cluster import Cluster
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

type Finished[R] = Iterator[tuple[int, R]]
"""Positions of pieces with what they found, in the order in which they end."""


PATIENCE = "10s"
"""How long a scheduler has to answer."""


class Executor(Protocol):
    """Runs one function on many pieces."""

    def each[T, R](self, work: Callable[[T], R], pieces: Sequence[tuple[int, T]]) -> Finished[R]:
        """Yield every piece's position with its result as it ends."""
        ...


@dataclass(frozen=True, slots=True)
class Serial:
    """One after the other, in this process."""

    def each[T, R](self, work: Callable[[T], R], pieces: Sequence[tuple[int, T]]) -> Finished[R]:
        """Yield every piece's position with its result, in order."""
        for position, piece in pieces:
            yield position, single_threaded(work, piece)


SERIAL = Serial()
"""What does the work where nothing else is opened."""


@dataclass(frozen=True, slots=True)
class Processes:
    """In a pool of processes on this machine; see `open_executor`."""

    pool: ProcessPoolExecutor

    def each[T, R](self, work: Callable[[T], R], pieces: Sequence[tuple[int, T]]) -> Finished[R]:
        """Yield every piece's position with its result as it ends.

        Raises
        ------
        GateError
            A process was killed, as happens where memory runs out.
        """
        waiting = {self.pool.submit(silently, work, piece): position for position, piece in pieces}
        try:
            while waiting:
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        except BrokenProcessPool:
            raise GateError(
                "a worker process was killed (out of memory?); fewer workers need less of it, and what is finished "
                "and was kept is not done again"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True, slots=True)
class Dask:
    """On a Dask cluster, which runs again what a lost worker had begun; see `open_executor`."""

    client: Any

    def each[T, R](self, work: Callable[[T], R], pieces: Sequence[tuple[int, T]]) -> Finished[R]:
        """Yield every piece's position with its result as it ends."""
        from distributed import as_completed

        run = partial(single_threaded, work)
        # Not pure: the same piece asked for again is run again, as it is elsewhere.
        futures = {self.client.submit(run, piece, pure=False): position for position, piece in pieces}
        with self.client.as_current():
            ended = as_completed(list(futures), with_results=True)
        try:
            for future, result in ended:
                yield futures[future], result
        finally:
            self.client.cancel(list(futures))


def single_threaded[T, R](work: Callable[[T], R], piece: T) -> R:
    """Run a piece with one thread of linear algebra, for threads would change the last digits."""
    with threadpool_limits(limits=1):
        return work(piece)


def silently[T, R](work: Callable[[T], R], piece: T) -> R:
    """Run a piece as `single_threaded` does, in a process of ours whose warnings would reach the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return single_threaded(work, piece)


def cores() -> int:
    """Return the number of processors that this process may use."""
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | Cluster | None = None) -> Iterator[Executor]:
    """Open an executor for as long as it is needed.

    Parameters
    ----------
    workers
        Processes on this machine; default one per processor. With one, the work is done in this process.
    scheduler
        A Dask cluster, or the address of its scheduler, whose workers are used in their place.

    Raises
    ------
    InputError
        There is no scheduler at the address, or it cannot be spoken to; fewer than one worker is asked for.
    """
    if scheduler is not None:
        cluster = Cluster(scheduler) if isinstance(scheduler, str) else scheduler
        with cluster.connect(PATIENCE) as client:
            yield Dask(client)
        return
    count = cores() if workers is None else workers
    if count < 1:
        raise InputError(f"at least one worker is needed, not {count}")
    if count == 1:
        yield SERIAL
        return
    with _pool(count) as pool:
        yield Processes(pool)


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of processes that end with this one, however it ends.

    Every worker waits at one end of a pipe whose other end this process alone holds: the system closes it when the
    process is gone, even where no handler could run. It is closed here when the block is left by an error or an
    interruption, so that nobody waits for pieces whose results are no longer wanted.
    """
    # Spawned rather than forked: a fork of a process with threads can hang, and would inherit the end that is held.
    spawned = get_context("spawn")
    watched, held = spawned.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, mp_context=spawned, initializer=_end_with_parent, initargs=(watched,))
    try:
        yield pool
    except BaseException:
        held.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        watched.close()


def _end_with_parent(watched: Connection) -> None:
    """Begin a worker: it ends as soon as nobody holds the other end of the pipe.

    An interruption at the terminal reaches every process of the group; it is the parent that answers it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(EOFError, OSError):
            watched.recv_bytes()
        os._exit(1)  # not sys.exit, which would end this thread alone

    Thread(target=watch, daemon=True, name="watches the parent").start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job[T, R]:
    """Like pieces of work.

    Attributes
    ----------
    work
        A function at the top of a module.
    pieces
        With everything that the function needs, seeds among it.
    journal
        Where results are kept as they come, so that an interrupted run goes on; they must then be what JSON can hold.
    named
        What a piece is called where progress is told.
    """

    work: Callable[[T], R]
    pieces: Sequence[T]
    journal: Journal | None = None
    named: str = "piece"


def fan_out[T, R](
    executor: Executor,
    work: Callable[[T], R],
    pieces: Iterable[T],
    *,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
    named: str = "piece",
) -> list[R]:
    """Do independent pieces of work and return what they find, in their order.

    Parameters
    ----------
    executor
        From `open_executor`.
    work, pieces, journal, named
        As in `Job`.
    on_progress
        Called at first, and as each piece ends, with how many are done.
    """
    job = Job(work=work, pieces=list(pieces), journal=journal, named=named)
    return fan_out_together(executor, [job], on_progress=on_progress)[0]


def fan_out_together(
    executor: Executor, jobs: Sequence[Job[Any, Any]], *, on_progress: OnProgress = ignore_progress
) -> list[list[Any]]:
    """Do several jobs side by side, so that nobody waits for the last piece of one of them.

    Pieces are begun in the order of the jobs and of their pieces: what takes longest should stand first.

    Parameters
    ----------
    executor
        From `open_executor`.
    jobs
        None of whose pieces needs what another finds.
    on_progress
        Called at first with every job, and as each piece ends, with how many of its job are done.

    Returns
    -------
    list
        What the pieces of each job find, in their order.
    """
    found = [{} if job.journal is None else dict(job.journal.read()) for job in jobs]
    left = [(k, at) for k, job in enumerate(jobs) for at in range(len(job.pieces)) if at not in found[k]]
    kept = [None if job.journal is None else job.journal.open() for job in jobs]
    for job, own in zip(jobs, found, strict=True):
        on_progress(Progress(job.named, len(own), len(job.pieces)))
    try:
        pieces = [(i, (jobs[k].work, jobs[k].pieces[at])) for i, (k, at) in enumerate(left)]
        for i, result in executor.each(_done, pieces):
            k, at = left[i]
            found[k][at] = result
            write = kept[k]
            if write is not None:
                write(at, result)
            on_progress(Progress(jobs[k].named, len(found[k]), len(jobs[k].pieces)))
    finally:
        for job in jobs:
            if job.journal is not None:
                job.journal.close()
    return [[own[at] for at in range(len(job.pieces))] for job, own in zip(jobs, found, strict=True)]


def _done[T, R](asked: tuple[Callable[[T], R], T]) -> R:
    work, piece = asked
    return work(piece)
