"""Worker processes: results and errors cross, limits stop them, and one caller does not hold all of them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from onestory.shared.errors import Issue, Malformed, TooLarge, Unavailable
from onestory.shared.worker_processes import WorkerLimits, WorkerMemory, WorkerProcesses

Result = TypeVar("Result")
SHORT = WorkerLimits(seconds=2.0, patience=60)


def process_id() -> int:
    return os.getpid()


def refuse() -> None:
    issues = [Issue("value", "wrong", f"Patient.name[{index}]") for index in range(5_000)]
    raise Malformed("wrong", issues=issues)


def fill_memory() -> int:
    return len(bytearray(1 << 31))


def end_the_process() -> None:
    os._exit(3)


def quote_the_body() -> None:
    raise ValueError("Smith")


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def remember(memory: WorkerMemory, value: int) -> int:
    earlier, memory.value = memory.value or 0, value
    return int(earlier)


def run(work: Callable[[WorkerProcesses], Awaitable[Result]], limits: WorkerLimits = WorkerLimits()) -> Result:  # noqa: B008
    async def call() -> Result:
        workers = WorkerProcesses(limits)
        async with workers.running():
            return await work(workers)

    try:
        return asyncio.run(call())
    finally:
        gc.collect()


def test_work_runs_in_another_process_which_serves_again() -> None:
    async def twice(workers: WorkerProcesses) -> tuple[int, int]:
        return await workers.run("a", process_id), await workers.run("b", process_id)

    first, second = run(twice)

    assert first == second != os.getpid()


def test_a_task_keeps_its_memory_and_the_next_task_begins_without_it() -> None:
    async def work(workers: WorkerProcesses) -> list[int]:
        async with workers.task("a") as task:
            seen = [await task.call(remember, 7), await task.call(remember, 8)]
        async with workers.task("a") as task:
            return [*seen, await task.call(remember, 9)]

    assert run(work) == [0, 7, 0]


def test_an_error_crosses_with_its_first_issues() -> None:
    async def work(workers: WorkerProcesses) -> tuple[Malformed, int]:
        with pytest.raises(Malformed) as raised:
            await workers.run("a", refuse)
        return raised.value, await workers.run("a", process_id)

    error, _ = run(work)

    assert len(error.issues) == 101
    assert error.issues[0].expression == "Patient.name[0]"


def test_an_unexpected_error_crosses_without_text_of_the_body() -> None:
    with pytest.raises(RuntimeError, match=r"^ValueError in a worker process$"):
        run(lambda workers: workers.run("a", quote_the_body))


@pytest.mark.parametrize(
    ("function", "limits", "text"),
    [
        (lambda workers: workers.run("a", compute, 60), SHORT, "more than 2 seconds of a processor"),
        (lambda workers: workers.run("a", fill_memory), WorkerLimits(memory_mb=400), "too much memory"),
        (lambda workers: workers.run("a", end_the_process), WorkerLimits(), "its process ended"),
    ],
)
def test_work_beyond_a_limit_is_refused_and_the_next_work_gets_a_new_process(
    function: Callable[[WorkerProcesses], Awaitable[object]], limits: WorkerLimits, text: str
) -> None:
    async def work(workers: WorkerProcesses) -> tuple[int, int]:
        before = await workers.run("a", process_id)
        with pytest.raises(TooLarge, match=f"{text}.*Split the submission"):
            await function(workers)
        return before, await workers.run("a", process_id)

    before, after = run(work, limits)

    assert before != after
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_the_limit_begins_anew_with_each_task_and_counts_all_its_calls() -> None:
    async def work(workers: WorkerProcesses) -> None:
        for _ in range(3):
            await workers.run("a", compute, 0.9)
        async with workers.task("a") as task:
            for _ in range(4):
                await task.call(without_memory, 0.9)

    with pytest.raises(TooLarge):
        run(work, SHORT)


def without_memory(_memory: WorkerMemory, seconds: float) -> None:
    compute(seconds)


def test_work_that_waits_for_a_busy_machine_is_refused_for_now() -> None:
    async def work(workers: WorkerProcesses) -> None:
        with pytest.raises(Unavailable, match="Send it again in a moment"):
            await workers.run("a", time.sleep, 60)

    run(work, WorkerLimits(seconds=0.5))


def test_a_process_that_ended_while_it_was_idle_costs_no_work() -> None:
    async def work(workers: WorkerProcesses) -> tuple[int, int]:
        before = await workers.run("a", process_id)
        os.kill(before, signal.SIGKILL)
        await asyncio.sleep(0.3)
        return before, await workers.run("a", process_id)

    before, after = run(work)

    assert before != after


def test_one_caller_leaves_a_process_for_others() -> None:
    async def work(workers: WorkerProcesses) -> float:
        flood = [asyncio.create_task(workers.run("flood", time.sleep, 3)) for _ in range(5)]
        await workers.run("other", process_id)
        begun = time.monotonic()
        await workers.run("other", process_id)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        return time.monotonic() - begun

    assert run(work) < 2.0


def test_too_much_waiting_work_is_refused_at_once() -> None:
    async def work(workers: WorkerProcesses) -> None:
        waiting = [asyncio.create_task(workers.run(str(caller), time.sleep, 5)) for caller in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="Send it again in a moment"):
            await workers.run("late", process_id)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(work, WorkerLimits(processes=1, waiting=2))


def test_work_that_waits_too_long_for_its_turn_is_refused() -> None:
    async def work(workers: WorkerProcesses) -> None:
        async with workers.task("a") as task:
            await task.call(remember, 1)
            with pytest.raises(Unavailable):
                await workers.run("a", process_id)

    run(work, WorkerLimits(seconds=5.0))


def test_a_caller_who_disconnects_stops_the_work() -> None:
    async def work(workers: WorkerProcesses) -> tuple[int, int]:
        before = await workers.run("a", process_id)
        task = asyncio.create_task(workers.run("a", time.sleep, 60))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return before, await workers.run("a", process_id)

    before, after = run(work, WorkerLimits(processes=1))

    assert before != after


def test_a_refusal_is_no_reason_for_a_new_process() -> None:
    async def work(workers: WorkerProcesses) -> tuple[int, int]:
        before = await workers.run("a", process_id)
        with pytest.raises(Malformed):
            await workers.run("a", refuse)
        return before, await workers.run("a", process_id)

    before, after = run(work)

    assert before == after
