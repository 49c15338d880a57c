"""Workers: processes that do the tasks of a command side by side, and tell how far they are."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Generic, NamedTuple, TypeVar

from projections.page import large_pages

PROCESSES_MAX: Final = 16

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

Report = Callable[[int], None]
"""Events more."""


class WorkerFailed(Exception):
    """A process is gone, or came upon something that it does not know. The message says what."""


class Done(NamedTuple, Generic[TaskT, ResultT]):
    """A task, and what it came to."""

    task: TaskT
    result: ResultT


def run(
    do: Callable[[TaskT, Report], ResultT], tasks: Sequence[TaskT], processes: int, report: Report
) -> Iterator[Done[TaskT, ResultT]]:
    """Does tasks, each in whichever process is free, and gives what they came to as they end. One process is this one.

    `do` is a function of a module; tasks and results can be pickled. Raises WorkerFailed, and in this process whatever
    `do` raises.
    """
    with large_pages():
        if min(processes, len(tasks)) <= 1:
            for task in tasks:
                yield Done(task, do(task, report))
            return
        with _started(do, min(processes, len(tasks), PROCESSES_MAX)) as pipes:
            yield from _hand_out(tasks, pipes, report)


def _hand_out(tasks: Sequence[Any], pipes: Sequence[Connection], report: Report) -> Iterator[Done[Any, Any]]:
    waiting = list(reversed(tasks))
    at_work: dict[Connection, Any] = {}
    for pipe in pipes:
        _give(pipe, waiting, at_work)
    while at_work:
        ready = set(wait(list(at_work)))
        for pipe in [one for one in pipes if one in ready]:
            try:
                kind, value = pipe.recv()
            except EOFError:
                raise WorkerFailed("a process was killed: is there enough memory?") from None
            if kind == "progress":
                report(value)
            elif kind == "error":
                raise WorkerFailed(f"a process failed: {value}")
            else:
                task = at_work.pop(pipe)
                _give(pipe, waiting, at_work)
                yield Done(task, value)


def _give(pipe: Connection, waiting: list[Any], at_work: dict[Connection, Any]) -> None:
    if waiting:
        at_work[pipe] = waiting.pop()
        pipe.send(at_work[pipe])


@contextmanager
def _started(do: Callable[[Any, Report], Any], count: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(do, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()
            process.close()


def _work(do: Callable[[Any, Report], Any], pipe: Connection) -> None:
    """A process: does what it is told until nobody tells it anything."""
    try:
        with large_pages():
            while True:
                task = pipe.recv()
                pipe.send(("done", do(task, lambda events: pipe.send(("progress", events)))))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001 - told to the parent, which reports it
        pipe.send(("error", f"{type(error).__name__}: {error}"))
