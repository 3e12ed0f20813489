"""The platform in the foreground: progress while it starts, logs while it runs, and what went wrong if it does not."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from flowweaver_cli.first_password import FirstPassword
from flowweaver_cli.ports import PortTaken
from flowweaver_cli.progress import StartProgress
from flowweaver_cli.settings import Settings
from flowweaver_cli.supervisor import AlreadyRunning, StartFailed, Supervisor
from kit.messages import text

CANNOT = 2


async def run(settings: Settings, console: Console, *, quiet: bool = False, unattended: bool = False) -> int:
    """Runs until it is told to stop. The exit status: 0, or 2 when it could not be set up.

    `unattended`: the console is a log, so a generated password is not told.
    """
    progress = StartProgress(console)

    def show(line: str) -> None:
        # while the table is live its lines would be torn apart; the files have them
        if not quiet and progress.over:
            print(line, flush=True)

    supervisor = Supervisor(settings, show=show, watch=progress.watch)
    console.print(text("starting", data=supervisor.data), markup=False)
    password = FirstPassword(settings)
    running = asyncio.create_task(supervisor.run())
    try:
        with progress:
            await _first(running, supervisor.ready)
        if supervisor.ready.done() and not supervisor.ready.cancelled() and not supervisor.ready.exception():
            _greet(settings, supervisor, console)
            if not unattended:
                password.tell_if_new(console)
        await running
    except AlreadyRunning as error:
        return _refuse(console, text("already_running", pid=error.pid, data=supervisor.data))
    except PortTaken as error:
        return _refuse(console, text("port_taken", port=error.args[0]))
    except StartFailed as error:
        _refuse(console, str(error))
        if error.last_lines:
            console.print(text("last_lines"))
            console.print("\n".join(error.last_lines[-15:]), style="dim", markup=False)
        return CANNOT
    console.print(text("stopped"))
    return 0


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _greet(settings: Settings, supervisor: Supervisor, console: Console) -> None:
    found = supervisor.ready.result()
    port = urlsplit(found.base_url).port
    if not settings.port_is_chosen and settings.port not in (0, port):
        console.print(text("port_moved", port=settings.port, other=port))
    console.print(text("ready", seconds=found.ready_s, url=found.base_url), style="bold green", markup=False)


def _refuse(console: Console, reason: str) -> int:
    console.print(reason, style="bold red", markup=False)
    return CANNOT
