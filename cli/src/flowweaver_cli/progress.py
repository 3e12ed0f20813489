"""How a start looks to the person who waits: a live table on a terminal, a line per event elsewhere."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowweaver_cli.fleet import State
from flowweaver_cli.supervisor import Supervisor
from kit.messages import text

_MARKS = {
    State.WAITING: ("·", "dim"),
    State.STARTING: ("◐", "yellow"),
    State.READY: ("●", "green"),
    State.DRAINING: ("◐", "magenta"),
    State.DOWN: ("●", "red"),
}


class StartProgress:
    """Shows each child's state until the platform is ready. Use as a context; `watch` is the supervisor's."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}
        self.over = False

    def __enter__(self) -> "StartProgress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        if self._live is not None:
            self._live.stop()

    def watch(self, supervisor: Supervisor) -> None:
        if self.over:
            return
        for child in supervisor.children:
            if child.state == State.READY and child.name not in self._seconds:
                self._seconds[child.name] = time.monotonic() - self._began
                if self._live is None:
                    seconds = f"{self._seconds[child.name]:.1f}"
                    self._console.print(text("child_ready", name=child.name, seconds=seconds), highlight=False)
        if self._live is not None:
            self._live.update(self._table(supervisor))

    def _table(self, supervisor: Supervisor) -> Table:
        table = Table.grid(padding=(0, 2))
        for child in supervisor.children:
            mark, style = _MARKS[child.state]
            seconds = self._seconds.get(child.name)
            table.add_row(
                Text(mark, style),
                Text(child.name),
                Text(text(f"state_{child.state}"), style),
                Text("" if seconds is None else f"{seconds:.1f} s", "dim"),
            )
        return table
