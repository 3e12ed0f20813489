"""Task types for trying the platform out, there only when FLOWWEAVER_TEST_TASKS is set."""

import asyncio
import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from worker_service import sdk
from worker_service.sdk import Context, ErrorCode, ProcessContext, TaskError, task_type

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Number(sdk.Parameters):
    n: int = 0


class NumberOutput(sdk.Output):
    n: int


@task_type("test.increment", parameters=Number, output=NumberOutput)
async def increment(ctx: Context, p: Number) -> NumberOutput:
    return NumberOutput(n=p.n + 1)


class Sleep(sdk.Parameters):
    seconds: Seconds


class Slept(sdk.Output):
    slept: float


@task_type("test.sleep", parameters=Sleep, output=Slept, timeout_s=3700)
async def sleep(ctx: Context, p: Sleep) -> Slept:
    await asyncio.sleep(p.seconds)
    return Slept(slept=p.seconds)


class Fail(sdk.Parameters):
    times: Annotated[int, Field(ge=0)] = 1
    error_class: Literal["retryable", "fatal"] = "retryable"


class Failed(sdk.Output):
    attempt: int


@task_type(
    "test.fail",
    parameters=Fail,
    output=Failed,
    errors=[ErrorCode("test_retryable", retryable=True), ErrorCode("test_fatal")],
)
async def fail(ctx: Context, p: Fail) -> Failed:
    """Fails its first `times` attempts."""
    if ctx.attempt <= p.times:
        raise TaskError(f"test_{p.error_class}", attempt=ctx.attempt)
    return Failed(attempt=ctx.attempt)


class Effect(sdk.Parameters):
    path: str | None = None
    n: int = 0
    seconds: Seconds = 0


@task_type("test.effect", parameters=Effect, output=NumberOutput, effect=True)
async def effect(ctx: Context, p: Effect) -> NumberOutput:
    """Appends a line of JSON to a file, after waiting for `seconds`."""
    path = Path(p.path) if p.path else ctx.settings.data / "test-effects.jsonl"
    await asyncio.sleep(p.seconds)
    line = {"task_run_id": ctx.task_run_id, "attempt": ctx.attempt, "key": ctx.key}
    await asyncio.to_thread(append_line, path, orjson.dumps(line) + b"\n")
    return NumberOutput(n=p.n)


def append_line(path: Path, line: bytes) -> None:
    """Whole and in one piece, whoever else appends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


class Span(sdk.Parameters):
    n: int = 0
    seconds: Seconds = 0
    fails: Annotated[int, Field(ge=0)] = 0
    needs: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")] | None = None
    bytes: Annotated[int, Field(ge=0, le=20_000_000)] = 0
    value: Any = None


class SpanOutput(sdk.Output):
    n: int
    filler: str
    value: Any


@task_type(
    "test.span",
    parameters=Span,
    output=SpanOutput,
    errors=[ErrorCode("test_retryable", retryable=True), ErrorCode("test_fatal")],
)
async def span(ctx: Context, p: Span) -> SpanOutput:
    """Leaves a line in `test-spans.jsonl` when it begins and one when it ends, however it ends (but for its process).

    Its first `fails` attempts fail, and every one while there is no file `test-needs/<needs>`.
    """
    path = ctx.settings.data / "test-spans.jsonl"

    def note(what: str) -> None:
        line = {"task_run_id": ctx.task_run_id, "attempt": ctx.attempt, "what": what, "at": time.time_ns() // 1000}
        # one write at the end of the file: nobody's comes between
        with path.open("ab", buffering=0) as file:
            file.write(orjson.dumps(line) + b"\n")

    await asyncio.to_thread(note, "began")
    try:
        await asyncio.sleep(p.seconds)
        if ctx.attempt <= p.fails:
            raise TaskError("test_retryable", attempt=ctx.attempt)
        if p.needs is not None and not (ctx.settings.data / "test-needs" / p.needs).exists():
            raise TaskError("test_fatal", attempt=ctx.attempt)
    finally:
        note("ended")
    return SpanOutput(n=p.n, filler="x" * p.bytes, value=p.value)


class Block(sdk.Parameters):
    seconds: Seconds


@task_type("test.block", parameters=Block, output=Slept)
async def block(ctx: Context, p: Block) -> Slept:
    """Does what a task must not: holds the tasks' loop."""
    time.sleep(p.seconds)  # noqa: ASYNC251
    return Slept(slept=p.seconds)


class Say(sdk.Parameters):
    lines: Annotated[int, Field(ge=0, le=100_000)] = 1
    seconds: Seconds = 0


class Said(sdk.Output):
    lines: int


@task_type("test.log", parameters=Say, output=Said)
async def say(ctx: Context, p: Say) -> Said:
    """Writes lines to the execution log, evenly over `seconds`."""
    begun = time.monotonic()
    for line in range(p.lines):
        ctx.log.info("said", line=line + 1, of=p.lines)
        due = begun + p.seconds * (line + 1) / p.lines
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return Said(lines=p.lines)


class Compute(sdk.Parameters):
    seconds: Seconds = 0
    stubborn: bool = False
    exit_status: int | None = None


class Computed(sdk.Output):
    pid: int


@task_type("test.compute", parameters=Compute, output=Computed, isolation="process")
def compute(ctx: ProcessContext, p: Compute) -> Computed:
    """Keeps a process busy; a stubborn one ignores SIGTERM, one with an exit status ends its process."""
    if p.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until = time.monotonic() + p.seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    if p.exit_status is not None:
        os._exit(p.exit_status)
    return Computed(pid=os.getpid())


class Use(sdk.Parameters):
    connection: str | None = None
    stubborn: bool = False
    bytes: Annotated[int, Field(ge=0, le=20_000_000)] = 0
    crash: bool = False
    value: Any = None


class Used(sdk.Output):
    seen: dict[str, Any]


@task_type("test.use", parameters=Use, output=Used)
async def use(ctx: Context, p: Use) -> Used:
    """Uses what a context offers."""
    ctx.log.info("begun", n=1, password="x")  # noqa: S106
    seen: dict[str, Any] = {"filler": "x" * p.bytes, "value": p.value}
    if p.crash:
        raise RuntimeError("the text of a bug")
    if p.connection is not None:
        connection = await ctx.connection(p.connection)
        ctx.log.warning("opened", value=str(connection["credentials"]))
        seen["credentials"] = sorted(connection["credentials"])
    artifact = await ctx.artifacts.put("seen/hello.txt", b"hello", "text/plain")
    seen["artifact"] = (await ctx.artifacts.get(artifact.artifact_id)).decode()
    seen["version"] = await ctx.state.put("test.use", ctx.task_run_id, {"n": 1}, version=0)
    entry = await ctx.state.get("test.use", ctx.task_run_id)
    seen["state"] = entry.value if entry else None
    seen["entries"] = len(await ctx.state.entries("test.use"))
    await ctx.effects.note({"at": "work"})
    seen["note"] = await ctx.effects.noted()
    while p.stubborn:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ctx.log.error("cancel_ignored")
    return Used(seen=seen)


@task_type("test.use_process", parameters=Use, output=Used, isolation="process")
def use_process(ctx: ProcessContext, p: Use) -> Used:
    """As test.use, from a process."""
    ctx.log.info("begun", n=1)
    seen: dict[str, Any] = {"filler": "x" * p.bytes, "value": p.value}
    if p.crash:
        raise RuntimeError("the text of a bug")
    if p.connection is not None:
        connection = ctx.connection(p.connection)
        ctx.log.warning("opened", value=str(connection["credentials"]))
        seen["credentials"] = sorted(connection["credentials"])
    artifact = ctx.artifacts.put("seen/hello.txt", b"hello", "text/plain")
    seen["artifact"] = ctx.artifacts.get(artifact.path).decode()
    seen["version"] = ctx.state.put("test.use", ctx.task_run_id, {"n": 1}, version=0)
    try:
        ctx.state.put("test.use", ctx.task_run_id, {"n": 2}, version=0)
    except sdk.StateConflict:
        seen["conflict"] = True
    entry = ctx.state.get("test.use", ctx.task_run_id)
    seen["state"] = entry.value if entry else None
    seen["entries"] = len(ctx.state.entries("test.use"))
    ctx.effects.note({"at": "work"})
    seen["note"] = ctx.effects.noted()
    return Used(seen=seen)
