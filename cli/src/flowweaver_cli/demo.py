"""`flowweaver demo`: the platform from nothing, the blog content workflow through the gateway, an article to open."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field

from rich.console import Console

from flowweaver_cli import definition, doorstep, endpoint, leash, runs
from flowweaver_cli.client import ApiError, Client, Unreachable
from flowweaver_cli.definition import DefinitionInvalid
from flowweaver_cli.endpoint import Endpoint
from flowweaver_cli.first_password import FirstPassword
from flowweaver_cli.runs import Run
from flowweaver_cli.session import PasswordUnknown, as_administrator
from flowweaver_cli.settings import Settings
from flowweaver_cli.taskboard import TaskBoard
from kit.ids import new_id
from kit.messages import text

SUCCESS, RUN_FAILED, CANNOT, NO_PRODUCTS = 0, 1, 2, 4
INTERRUPTED = 130
_STOP_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What `--once` prints as its last line, with `exit_status`; `article_path` is the page's file."""

    run_id: str | None = None
    state: str | None = None
    article_url: str | None = None
    article_path: str | None = None
    seconds: float = 0.0
    tasks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """How the demo was asked for."""

    keyword: str | None = None
    once: bool = False
    keep: bool = False


class SetUpFailed(Exception):
    """The workflow could not even be started; the reason is for people."""


def demo(settings: Settings, wish: Wish, console: Console) -> int:
    """The exit status. What a person reads goes to `console` (standard error)."""
    house = House(settings, console, stays=wish.once and wish.keep)
    outcome, status = Outcome(), CANNOT
    # asked to end, it ends as by Ctrl-C: in order
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            found = house.open()
            with contextlib.closing(as_administrator(settings, found)) as client:
                outcome, status = drive(client, settings, wish, console)
            if wish.keep or not wish.once:
                doorstep.show(settings, console, found.base_url, outcome.run_id, opens=not wish.once)
        except (SetUpFailed, ApiError, Unreachable, DefinitionInvalid, PasswordUnknown) as error:
            console.print(text("demo_cannot", reason=str(error)), style="bold red", markup=False)
        if wish.once:
            house.close()
            print(json.dumps({**asdict(outcome), "exit_status": status}, ensure_ascii=False), flush=True)
        else:
            house.wait()
    except KeyboardInterrupt:
        house.close()
        return INTERRUPTED if wish.once else status
    return status


def drive(client: Client, settings: Settings, wish: Wish, console: Console) -> tuple[Outcome, int]:
    """Logs in, applies the workflow, runs it to its end."""
    try:
        client.log_in()
    except ApiError as error:
        raise SetUpFailed(text("demo_login_refused", reason=str(error))) from error
    sample = definition.blog_workflow()
    workflow_id = definition.apply(client, sample)
    began = time.monotonic()
    run_id = runs.start(client, workflow_id, {"keyword": wish.keyword} if wish.keyword else {}, f"demo-{new_id()}")
    with TaskBoard(console) as board:
        run = runs.follow(client, run_id, board.show)
    seconds = round(time.monotonic() - began, 2)
    outcome = _outcome(client, settings, run, seconds)
    _tell(console, outcome, run)
    if run["state"] == "SUCCESS":
        return outcome, SUCCESS
    return outcome, NO_PRODUCTS if "no_products" in runs.error_codes(run) else RUN_FAILED


def _outcome(client: Client, settings: Settings, run: Run, seconds: float) -> Outcome:
    published = runs.output(client, run, "publish")
    page = published.get("post_path")
    return Outcome(
        run_id=run["run_id"],
        state=run["state"],
        article_url=published.get("post_url"),
        article_path=str(settings.data.resolve() / "blog" / page) if page else None,
        seconds=seconds,
        tasks={task["key"]: task["state"] for task in runs.tasks(run)},
    )


def _tell(console: Console, outcome: Outcome, run: Run) -> None:
    if outcome.article_url is not None:
        console.print(text("demo_article", url=outcome.article_url, seconds=outcome.seconds), style="bold green")
        return
    for task in runs.tasks(run):
        # what only lacked another's output says nothing new
        if task["error"] and task["state"] == "FAILED":
            reason = f"{task['error']['code']} {task['error']['message']}"
            console.print(text("demo_task_failed", key=task["key"], reason=reason), style="red", markup=False)
    console.print(text("demo_run_ended", state=outcome.state), style="bold red")


class House:
    """The platform that the demo runs on: the one that already runs with this data folder, else one of its own."""

    def __init__(self, settings: Settings, console: Console, *, stays: bool) -> None:
        self._settings = settings
        self._data = settings.data.resolve()
        self._console = console
        self._stays = stays
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> Endpoint:
        """Raises SetUpFailed."""
        password = FirstPassword(self._settings)
        if endpoint.find_holder(self._data) is None:
            self._process = self._start()
        deadline = time.monotonic() + self._settings.ready_timeout_s + 5
        while (found := endpoint.read(self._data)) is None:
            if self._process is not None and self._process.poll() is not None:
                raise SetUpFailed(text("demo_platform_ended", status=self._process.returncode))
            if time.monotonic() > deadline:
                raise SetUpFailed(text("not_ready", data=self._data))
            time.sleep(0.05)
        if self._process is not None and self._stays:
            # its own output is a log
            password.tell_if_new(self._console)
        return found

    def close(self) -> None:
        """Stops the platform when it is the demo's own and shall not stay."""
        if self._process is None or self._stays:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self) -> None:
        """Until the platform ends or Ctrl-C."""
        if self._process is not None:
            self._console.print(text("demo_stays_up"))
            self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "flowweaver_cli", "up", "--quiet", "--data", str(self._data)]
        if not self._stays:
            # tied to us: it must not outlive a demo that is killed
            tie = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]
            return subprocess.Popen([*tie, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        log = self._data / "logs" / "supervisor.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._console.print(text("starting", data=self._data), markup=False)
        command.append("--unattended")
        with log.open("ab") as file:
            # whoever waits for the end of our output must not wait for it
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
