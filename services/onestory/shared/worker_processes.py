"""Runs costly work on large bodies in processes of their own, so that it delays no other request and can be stopped.

In a thread such work would hold the interpreter's lock, and every other request of the process would wait for it. A
worker process is a new interpreter, not a fork: it shares neither threads nor connections with `serve`. It gets pickled
calls of pure functions on its standard input, and answers on its standard output.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import math
import os
import pickle
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import structlog
from prometheus_client import Counter

from onestory.shared.errors import OneStoryError, TooLarge, Unavailable
from onestory.shared.fhir.outcome import MAX_ISSUES
from onestory.shared.turns import without_turn

log = structlog.get_logger()

_stops = Counter("onestory_worker_stops", "Worker processes that ended before their work was done.", ["reason"])

LARGE_BODY = 64_000
"""Parsing and preparing a body of this size takes up to 20 ms, whatever it holds. A larger one goes to a process."""

_LENGTH = struct.Struct(">Q")
# Up to this size pickled values are read and written in the event loop: it takes less than a millisecond.
_SMALL = 100_000
_READ_BUFFER = 1 << 20
_NICENESS = 10
# Linux, sys/prctl.h
_PR_SET_PDEATHSIG = 1

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """The limits of worker processes. Each is a setting; see `docs/reference/settings.md`."""

    processes: int = 2
    seconds: float = 10.0
    waiting: int = 16
    memory_mb: int = 1_500
    patience: float = 3.0
    """On a busy machine a second of processor time takes longer. After this many times the limit work is stopped."""


@dataclass(slots=True)
class WorkerMemory:
    """A value that the functions of one task keep in the worker process, from one call to the next."""

    value: Any = None


class WorkerProcesses:
    """A few processes for costly work. They start with the first work, and start again after they were stopped.

    The work of one caller waits for earlier work of the same caller. So no caller holds all processes.
    """

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._idle: list[_Worker] = []
        self._free = asyncio.Semaphore(limits.processes)
        self._by_caller: dict[str, asyncio.Lock] = {}
        self._open: collections.Counter[str] = collections.Counter()

    @contextlib.asynccontextmanager
    async def task(self, caller: str) -> AsyncIterator[WorkerTask]:
        """Hold one process for several calls. Raises `Unavailable` when too much work waits, or waits too long."""
        if self._open.total() >= self._limits.processes + self._limits.waiting:
            raise _busy()
        self._open[caller] += 1
        lock = self._by_caller.setdefault(caller, asyncio.Lock())
        try:
            async with contextlib.AsyncExitStack() as held:
                async with without_turn():
                    await self._hold_place(held, lock)
                worker = self._idle.pop() if self._idle else _Worker(self._limits.memory_mb)
                task = WorkerTask(worker, self._limits)
                try:
                    yield task
                finally:
                    if task.is_usable:
                        self._idle.append(worker)
                    else:
                        await worker.stop()
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller], self._by_caller[caller]

    async def _hold_place(self, held: contextlib.AsyncExitStack, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(self._limits.seconds):
                await held.enter_async_context(lock)
                await held.enter_async_context(self._free)
        except TimeoutError as error:
            raise _busy() from error

    async def run(
        self, caller: str, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Return the result of one pure function of a module. Raises its error, `TooLarge` or `Unavailable`."""
        async with self.task(caller) as task:
            return await task.call(_without_memory, function, args, kwargs)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stop the idle processes at the end of the context."""
        try:
            yield
        finally:
            while self._idle:
                await self._idle.pop().stop()


class WorkerTask:
    """The calls of one task. All of them together may take the limit of processor time."""

    def __init__(self, worker: _Worker, limits: WorkerLimits) -> None:
        self._worker = worker
        self._limit_s = limits.seconds
        self._patience_s = limits.patience * limits.seconds
        self._is_new = True
        self.is_usable = True
        """False while a call is open, and after a call that was stopped. Such a worker is stopped."""

    async def call(
        self,
        function: Callable[Concatenate[WorkerMemory, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Return the result of a pure function of a module, which also gets the memory of this task.

        Raises the error that the function raises. Raises `TooLarge` when a limit ends the process, and `Unavailable`
        when the machine is too busy.
        """
        self.is_usable, limit_s = False, self._limit_s if self._is_new else None
        self._is_new = False
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await self._worker.call((limit_s, function, args, kwargs))
        except TimeoutError as error:
            _count_stop("patience")
            raise _busy() from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if await self._worker.returncode() == -signal.SIGXCPU:
                raise _stopped("time", f"it took more than {self._limit_s:g} seconds of a processor") from error
            raise _stopped("end", "its process ended") from error
        if isinstance(answer, MemoryError):
            raise _stopped("memory", "it needed too much memory") from answer
        self.is_usable = True
        if isinstance(answer, BaseException):
            raise answer
        return cast(Result, answer)


def _stopped(reason: str, text: str) -> TooLarge:
    _count_stop(reason)
    return TooLarge(
        f"The preparation of this body was stopped: {text}. Nothing was published. Split the submission.",
        code="too-costly",
    )


def _count_stop(reason: str) -> None:
    _stops.labels(reason).inc()
    log.warning("worker_stopped", reason=reason)


def _busy() -> Unavailable:
    return Unavailable("Too many large bodies are waiting. Nothing was published. Send it again in a moment.")


def _without_memory(_memory: WorkerMemory, function: Callable[..., Result], args: Any, kwargs: Any) -> Result:
    return function(*args, **kwargs)


class _Worker:
    """One process, which starts at its first call."""

    def __init__(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._process: Process | None = None

    async def call(self, call: object) -> object:
        """Return the answer: the result, or the error that the function raised."""
        process = await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        written = await asyncio.to_thread(pickle.dumps, call, pickle.HIGHEST_PROTOCOL)
        process.stdin.write(_LENGTH.pack(len(written)))
        process.stdin.write(written)
        await process.stdin.drain()
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        answer = await process.stdout.readexactly(length)
        # The bytes come from the function below, in a process that this one has started.
        if length <= _SMALL:
            return pickle.loads(answer)  # noqa: S301
        return await asyncio.to_thread(pickle.loads, answer)

    async def returncode(self) -> int | None:
        """Return the exit code of a process that has ended; a negative number is a signal."""
        return None if self._process is None else await self._process.wait()

    async def stop(self) -> None:
        """End the process at once, whatever it does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            # This also reads the rest of an answer, so that the pipes are closed.
            with contextlib.suppress(OSError):
                await asyncio.shield(self._process.communicate())

    async def _started(self) -> Process:
        # A process may end while it is idle: the system may need its memory.
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                f"from {__name__} import serve_calls; serve_calls({self._memory_mb})",
                stdin=PIPE,
                stdout=PIPE,
                limit=_READ_BUFFER,
            )
        return self._process


def serve_calls(memory_mb: int) -> None:
    """Answer calls until standard input ends. This is the main function of a worker process."""
    _limit_process(memory_mb)
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # A stray print must not get between two answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    memory = WorkerMemory()
    while header := calls.read(_LENGTH.size):
        written = calls.read(_LENGTH.unpack(header)[0])
        limit_s, function, args, kwargs = pickle.loads(written)  # noqa: S301 - it comes from the parent process
        del written
        if limit_s is not None:
            memory = WorkerMemory()
            _limit_processor_time(limit_s)
        answer = pickle.dumps(_answer(function, memory, args, kwargs), pickle.HIGHEST_PROTOCOL)
        del args, kwargs
        answers.write(_LENGTH.pack(len(answer)))
        answers.write(answer)
        answers.flush()
        del answer


def _answer(function: Callable[..., object], memory: WorkerMemory, args: Any, kwargs: Any) -> object:
    try:
        return function(memory, *args, **kwargs)
    except OneStoryError as error:
        # The answer lists the first issues only. A small body can have millions of them.
        error.issues = error.issues[: MAX_ISSUES + 1]
        return error.with_traceback(None)
    except MemoryError as error:
        return error.with_traceback(None)
    except Exception as error:
        # Any other error may hold objects that cannot be pickled, or text of the body.
        return RuntimeError(f"{type(error).__name__} in a worker process")


def _limit_process(memory_mb: int) -> None:
    import resource  # late: Windows does not have it

    # The process ends when its standard input ends: after the last answer, not with a signal to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The default action ends the process. A parent may have left the signal ignored.
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A process that wakes up for a small request never waits for the slice of this one to end.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        # A parent that is killed cannot close the input while a call runs.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_processor_time(seconds: float) -> None:
    """Let the system end this process with SIGXCPU after so much more processor time."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds), hard))
