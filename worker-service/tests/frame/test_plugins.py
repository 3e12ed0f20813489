"""Task types of packages that are really installed, in workers that are really started: run, refused, and ended."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
from platform_house import eventually, free_port
from plugin_house import Environment

from worker_service.sdk import testing

pytestmark = [pytest.mark.anyio, pytest.mark.process]
ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "flowweaver-task-example"
PACKAGES = Path(__file__).parents[1] / "data" / "packages"


def make_package(folder: Path, name: str, code: str, module: str = "") -> Path:
    """The source of a package whose entry point names its module."""
    package = folder / name
    (package / "src" / name).mkdir(parents=True)
    (package / "src" / name / "__init__.py").write_text(code)
    (package / "pyproject.toml").write_text(
        f"""[project]
name = "{name.replace("_", "-")}"
version = "1.2.3"
[project.entry-points."flowweaver.task_types"]
types = "{module or name}"
[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""
    )
    return package


HEAD = """
import asyncio, os, sys, time
from pathlib import Path
from worker_service import sdk
from worker_service.sdk import task_type, Cancelled

class P(sdk.Parameters):
    path: str = ""
    seconds: float = 0

class O(sdk.Output):
    pid: int = 0
"""

# what a task must not do, and what it may do when it is told to end
UNRULY = (
    HEAD
    + """
def trace(p, word):
    with open(p.path, "a") as file:
        file.write(f"{word} {os.getpid()}\\n")

@task_type("unruly.swallows", parameters=P, output=O)
async def swallows(ctx, p):
    ctx.log.info("begun")
    try:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ctx.log.info("swallowed")
    finally:
        trace(p, "closed")

@task_type("unruly.blocks", parameters=P, output=O)
async def blocks(ctx, p):
    ctx.log.info("begun")
    try:
        while True:
            pass
    finally:
        trace(p, "ended")

@task_type("unruly.cleans_up", parameters=P, output=O)
async def cleans_up(ctx, p):
    try:
        ctx.log.info("begun")
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        trace(p, "cleaned")
        raise

@task_type("unruly.process_cleans_up", parameters=P, output=O)
def process_cleans_up(ctx, p):
    try:
        trace(p, "begun")
        while True:
            try:
                time.sleep(0.05)
            except Exception:
                trace(p, "never")
    except Cancelled:
        try:
            ctx.artifacts.get("x")
        except Cancelled:
            trace(p, "alone")
        raise
    finally:
        trace(p, "cleaned")

@task_type("unruly.process_swallows", parameters=P, output=O)
def process_swallows(ctx, p):
    trace(p, "begun")
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            trace(p, "swallowed")

@task_type("unruly.silent", parameters=P, output=O, heartbeat_s=1)
async def silent(ctx, p):
    ctx.heartbeat()
    await asyncio.sleep(3600)
    return O()

@task_type("unruly.process_silent", parameters=P, output=O, heartbeat_s=1)
def process_silent(ctx, p):
    ctx.progress(0.5, "half")
    time.sleep(3600)
    return O()

@task_type("unruly.alive", parameters=P, output=O, heartbeat_s=1)
async def alive(ctx, p):
    until = time.monotonic() + p.seconds
    while time.monotonic() < until:
        ctx.heartbeat()
        await asyncio.sleep(0.1)
    return O()

@task_type("unruly.process_alive", parameters=P, output=O, heartbeat_s=1)
def process_alive(ctx, p):
    until = time.monotonic() + p.seconds
    while time.monotonic() < until:
        ctx.heartbeat()
    return O(pid=os.getpid())

@task_type("unruly.eager", parameters=P, output=O)
async def eager(ctx, p):
    for n in range(2000):
        ctx.progress(n / 2000, f"step {n}")
        if n % 100 == 0:
            await asyncio.sleep(0.01)
    ctx.progress(1, "done")
    return O()

@task_type("unruly.process_eager", parameters=P, output=O)
def process_eager(ctx, p):
    for n in range(20000):
        ctx.progress(n / 20000, f"step {n}")
    ctx.progress(1, "done")
    return O()

@task_type("unruly.freed", parameters=P, output=O)
async def freed(ctx, p):
    return O(pid=1)

@task_type("unruly.refused_by_a_server", parameters=P, output=O)
def refused_by_a_server(ctx, p):
    raise ConnectionRefusedError("not the worker's connection")
"""
)

BROKEN = {
    "broken_import": ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
    "broken_exit": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "broken_clash": (
        HEAD
        + """
@task_type("broken.first", parameters=P, output=O)
async def first(ctx, p):
    return O()

@task_type("unruly.freed", parameters=P, output=O)
async def freed(ctx, p):
    return O(pid=-1)

@task_type("http", parameters=P, output=O)
async def http(ctx, p):
    return O()
""",
        "two task types are called 'http'",
    ),
    "broken_sync": (
        HEAD
        + """
@task_type("broken.sync", parameters=P, output=O, isolation="loop")
def sync(ctx, p):
    return O()
""",
        "is a plain `def` and cannot have isolation",
    ),
    "broken_schema": (
        HEAD
        + """
class Q(sdk.Parameters):
    model_config = {"arbitrary_types_allowed": True}
    lock: asyncio.Lock

@task_type("broken.schema", parameters=Q, output=O)
async def schema(ctx, p):
    return O()
""",
        "PydanticInvalidForJsonSchema",
    ),
    "broken_name": (
        HEAD
        + """
@task_type("wait.longer", parameters=P, output=O)
async def longer(ctx, p):
    return O()
""",
        "names that begin with human., test., wait., workflow. are FlowWeaver's",
    ),
    "broken_empty": ("", "registers no task type"),
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the example, an unruly package, and one for each way to be refused."""
    folder = tmp_path_factory.mktemp("plugins")
    made = Environment(folder / "venv")
    sources = [make_package(folder, name, code) for name, (code, _) in BROKEN.items()]
    texts = make_package(folder, "broken_texts", HEAD + BROKEN_TEXTS)
    (texts / "src" / "broken_texts" / "messages.toml").write_text('["broken.texts"]\nen = "Only English"\n')
    sources += [texts, make_package(folder, "broken_value", UNRULY, "broken_value:swallows")]
    made.install(EXAMPLE, make_package(folder, "unruly", UNRULY), *sources)
    return made


BROKEN_TEXTS = """
@task_type("broken.texts", parameters=P, output=O)
async def texts(ctx, p):
    return O()
"""
REASONS = {name.replace("_", "-"): reason for name, (_, reason) in BROKEN.items()} | {
    "broken-texts": "'broken.texts' needs a `ko` and an `en`",
    "broken-value": "its value is a module",
}


class Process:
    """worker-service as it is deployed, in an environment with packages of task types."""

    def __init__(self, environment: Environment, folder: Path, nats_url: str, **more: str) -> None:
        settings = {"DATA": str(folder / "data"), "NATS_URL": nats_url, "LANGUAGE": "en", **more}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
        self.log = folder / "worker.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [environment.python, "-m", "worker_service"],
                env={**kept, **{f"FLOWWEAVER_{name}": value for name, value in settings.items()}},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [orjson.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [line for line in lines if line["event"] == event]

    async def until(self, found: Callable[[], Any], seconds: float = 60) -> Any:
        async with asyncio.timeout(seconds):
            while not (value := found()):
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                await asyncio.sleep(0.02)
        return value


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def nats_url(nats_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker for all of these tests."""
    port, folder = free_port(), tmp_path_factory.mktemp("broker")
    process = subprocess.Popen(
        [nats_program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: listens(port), 30, "the broker")
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def worker(installed: Environment, nats_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One worker too: whatever a task does to it, the next test finds it well."""
    started = Process(installed, tmp_path_factory.mktemp("worker"), nats_url)
    yield started
    started.process.send_signal(signal.SIGTERM)
    try:
        assert started.process.wait(30) == 0
    finally:
        started.process.kill()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def words(trace: Path) -> list[str]:
    return [line.split()[0] for line in trace.read_text().splitlines()] if trace.exists() else []


def lines_of(engine: Any, task: str) -> list[dict[str, Any]]:
    return [line for batch in engine.lines if batch["task_run_id"] == task for line in batch["lines"]]


# --- what is installed ----------------------------------------------------------------------------------------------


async def test_the_types_of_an_installed_package_run_in_both_isolations(engine: Any, worker: Process) -> None:
    task = await engine.dispatch("text.word_count", {"text": "a b\na"})
    said = await engine.result(task, 60)
    assert said["output"]["top"] == [{"word": "a", "count": 2}, {"word": "b", "count": 1}]
    events = [(line["event"], line["fields"]) for line in lines_of(engine, task)]
    assert ("progress", {"fraction": 1.0, "message": "3 words"}) in events
    assert ("words_counted", {"words": 3, "distinct": 2}) in events
    refused = await engine.dispatch("csv.fetch", {"url": "http://127.0.0.1:1/x.csv"})
    error = (await engine.result(refused))["error"]
    # in the words of the package's catalogue
    assert (error["code"], error["message"]) == ("csv_unreachable", "'http://127.0.0.1:1/x.csv' cannot be reached.")


async def test_what_cannot_be_taken_is_named_with_its_reason_and_stops_nothing(engine: Any, worker: Process) -> None:
    task = await engine.dispatch("unruly.alive")
    await engine.result(task, 60)
    refused = {line["package"]: line for line in worker.said("plugin_refused")}
    assert refused.keys() == REASONS.keys()
    for package, reason in REASONS.items():
        assert reason in refused[package]["reason"], package
        assert refused[package]["version"] == "1.2.3"
    assert "no_such_library" in refused["broken-import"]["exception"]
    [loaded] = [line for line in worker.said("plugin_loaded") if line["package"] == "flowweaver-task-example"]
    assert loaded["types"] == ["csv.fetch", "image.thumbnail", "text.word_count"]
    [started] = worker.said("started")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['http_port']}") as http:
        assert (await http.get("/readyz")).status_code == 200
        metrics = (await http.get("/metrics")).text
    assert 'worker_plugins{package="broken-import",state="refused"} 1.0' in metrics
    assert 'worker_plugins{package="flowweaver-task-example",state="loaded"} 1.0' in metrics
    # a package is refused whole: what it registered before it failed is not there either
    said = await engine.result(await engine.dispatch("broken.first"))
    assert said["error"]["code"] == "unknown_task_type"
    # and its names are free for others
    assert (await engine.result(await engine.dispatch("unruly.freed")))["output"] == {"pid": 1}
    assert (await engine.result(await engine.dispatch("http", {"endpoint": "/x"})))["error"]["code"].startswith("http_")


async def test_the_examples_own_tests_pass_where_it_is_installed(installed: Environment) -> None:
    said = await asyncio.to_thread(installed.run, "-m", "pytest", "-q", str(EXAMPLE), cwd=ROOT)
    assert "15 passed" in said


# --- tasks that must end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "word"), [("unruly.swallows", "closed"), ("unruly.blocks", "ended")])
async def test_an_async_task_that_ignores_its_time_out_is_reported_and_ended(
    engine: Any, worker: Process, trace: Path, name: str, word: str
) -> None:
    await engine.result(await engine.dispatch("unruly.alive"), 60)
    task = await engine.dispatch(name, {"path": str(trace)}, timeout_s=0.5)
    said = await engine.result(task)
    assert said["error"]["code"] == "timeout"
    assert "stop_ignored" in [line["event"] for line in lines_of(engine, task)]
    # it is not only given up: its code has ended, and the loop is free for others
    await worker.until(lambda: words(trace) == [word])
    assert (await engine.result(await engine.dispatch("unruly.alive", {"seconds": 0.2})))["output"] == {"pid": 0}


async def test_a_task_learns_of_its_cancellation_and_may_clean_up(engine: Any, worker: Process, trace: Path) -> None:
    task = await engine.dispatch("unruly.cleans_up", {"path": str(trace)})
    await engine.wait(lambda: lines_of(engine, task), 60)
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
    assert (await engine.result(task))["cancelled"] is True
    assert words(trace) == ["cleaned"]


async def test_a_process_learns_of_its_cancellation_and_may_clean_up(engine: Any, worker: Process, trace: Path) -> None:
    task = await engine.dispatch("unruly.process_cleans_up", {"path": str(trace)})
    await worker.until(lambda: words(trace))
    await engine.client.publish("worker.cancel", orjson.dumps({"task_run_id": task, "attempt": 1}))
    assert (await engine.result(task))["cancelled"] is True
    assert words(trace) == ["begun", "alone", "cleaned"]


async def test_a_process_that_swallows_its_cancellation_is_killed_at_its_time_out(
    engine: Any, worker: Process, trace: Path
) -> None:
    # its process is up already: the time-out is for the task alone
    warm = (await engine.result(await engine.dispatch("unruly.process_alive"), 60))["output"]["pid"]
    task = await engine.dispatch("unruly.process_swallows", {"path": str(trace)}, timeout_s=3)
    assert (await engine.result(task, 30))["error"]["code"] == "timeout"
    assert words(trace) == ["begun", "swallowed"]
    assert not psutil.pid_exists(warm)


@pytest.mark.parametrize("name", ["unruly.silent", "unruly.process_silent"])
async def test_a_task_without_a_sign_of_life_is_ended_and_may_be_tried_again(
    engine: Any, worker: Process, name: str
) -> None:
    task = await engine.dispatch(name)
    said = await engine.result(task, 60)
    assert (said["error"]["code"], said["error"]["retryable"]) == ("heartbeat_lost", True)
    assert said["error"]["message"] == "The task gave no sign of life for 1 seconds."


@pytest.mark.parametrize("name", ["unruly.alive", "unruly.process_alive"])
async def test_a_task_that_gives_signs_of_life_goes_on(engine: Any, worker: Process, name: str) -> None:
    task = await engine.dispatch(name, {"seconds": 3})
    assert "output" in await engine.result(task, 60)


@pytest.mark.parametrize(("name", "steps"), [("unruly.eager", 2_000), ("unruly.process_eager", 20_000)])
async def test_of_much_progress_little_is_written_and_the_last_always(
    engine: Any, worker: Process, name: str, steps: int
) -> None:
    task = await engine.dispatch(name)
    said = await engine.result(task, 60)
    await engine.until_acknowledged()
    lines = lines_of(engine, task)
    assert {line["event"] for line in lines} == {"progress"}
    seconds = (said["finished_at"] - said["started_at"]) / 1e6
    assert len(lines) <= 2 * seconds + 2 < steps
    fractions = [line["fields"]["fraction"] for line in lines]
    assert fractions == sorted(fractions)
    assert (lines[-1]["fields"], lines[-1]["level"]) == ({"fraction": 1.0, "message": "done"}, "info")


async def test_a_connection_that_a_task_could_not_make_is_not_the_loss_of_its_worker(
    engine: Any, worker: Process
) -> None:
    said = await engine.result(await engine.dispatch("unruly.refused_by_a_server"), 60)
    assert (said["error"]["code"], said["error"]["details"]) == ("internal", {"detail": "ConnectionRefusedError"})


async def test_a_package_that_is_gone_when_its_process_starts_fails_the_task_only(
    nats_url: str, engine: Any, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(make_package(tmp_path, "vanishing", UNRULY.replace("unruly.", "vanishing.")))
    # a queue of its own: the other worker does not know these types
    worker = Process(environment, tmp_path, nats_url, WORKER_QUEUES="vanishing")
    try:
        await engine.result(await engine.dispatch("vanishing.alive", queue="vanishing"), 60)
        [package] = (tmp_path / "venv").glob("lib/python*/site-packages/vanishing")
        shutil.rmtree(package)
        said = await engine.result(await engine.dispatch("vanishing.process_alive", queue="vanishing"), 60)
        assert (said["error"]["code"], said["error"]["details"]) == ("internal", {"detail": "ModuleNotFoundError"})
        assert "ModuleNotFoundError" in worker.said("task_crashed")[0]["traceback"]
    finally:
        worker.process.kill()
        worker.process.wait(10)


def test_nothing_of_this_is_installed_where_the_tests_run() -> None:
    with pytest.raises(LookupError):
        testing.run("text.word_count")
