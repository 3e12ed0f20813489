"""How a run looks to the person who waits: a live table of its tasks on a terminal, a line per change elsewhere."""

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowweaver_cli import runs
from flowweaver_cli.runs import Run

_STYLES = {
    "SUCCESS": ("✔", "green"),
    "FAILED": ("✘", "red"),
    "UPSTREAM_FAILED": ("✘", "red"),
    "CANCELLED": ("✘", "red"),
    "RUNNING": ("▶", "yellow"),
    "QUEUED": ("▷", "yellow"),
    "RETRY_WAIT": ("↻", "yellow"),
}


class TaskBoard:
    """Use as a context; `show` takes the run as often as it is read."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "TaskBoard":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, run: Run) -> None:
        if self._live is not None:
            self._live.update(_table(run))
            return
        for task in runs.tasks(run):
            if task["state"] in runs.TASK_TERMINAL and self._shown.get(task["key"]) != task["state"]:
                self._shown[task["key"]] = task["state"]
                self._console.print(f"{task['key']:<8} {task['state']:<16} {_seconds(task['ran_ms'])}", highlight=False)


def _table(run: Run) -> Table:
    table = Table.grid(padding=(0, 2))
    for job in run["jobs"]:
        table.add_row("", Text(job["name"], "bold"), "", "")
        for task in job["tasks"]:
            mark, style = _STYLES.get(task["state"], ("·", "dim"))
            error = task["error"]["code"] if task["error"] else ""
            attempt = f" ×{task['attempt']}" if task["attempt"] > 1 else ""
            table.add_row(
                Text(mark, style),
                Text(f"{task['key']:<8} {task['name']}{attempt}", style),
                Text(_seconds(task["ran_ms"]), "dim"),
                Text(error, "red"),
            )
    return table


def _seconds(ms: float | None) -> str:
    return "" if ms is None else f"{ms / 1000:.1f} s"
