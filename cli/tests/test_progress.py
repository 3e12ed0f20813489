"""What the person who waits sees: a table on a terminal, lines elsewhere."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from flowweaver_cli import __main__  # loads the texts  # noqa: F401
from flowweaver_cli.fleet import Child, Role, State
from flowweaver_cli.output import Output
from flowweaver_cli.progress import StartProgress
from flowweaver_cli.taskboard import TaskBoard
from kit import messages


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    token = messages.language.set("en")
    yield
    messages.language.reset(token)


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, force_terminal=terminal, width=100), shown


def run(*states: str) -> dict[str, Any]:
    tasks = [
        {
            "key": f"task{number}",
            "name": f"Task {number}",
            "state": state,
            "attempt": number + 1,
            "ran_ms": 1500.0 if state == "SUCCESS" else None,
            "error": {"code": "no_products", "message": ""} if state == "FAILED" else None,
        }
        for number, state in enumerate(states)
    ]
    return {"state": "RUNNING", "jobs": [{"name": "The job", "tasks": tasks}]}


def test_elsewhere_each_task_is_told_once_when_it_ended() -> None:
    shown_on, shown = console(terminal=False)
    with TaskBoard(shown_on) as board:
        board.show(run("RUNNING", "PENDING"))
        board.show(run("SUCCESS", "RUNNING"))
        board.show(run("SUCCESS", "FAILED"))
        board.show(run("SUCCESS", "FAILED"))
    assert [line.split() for line in shown.getvalue().splitlines()] == [
        ["task0", "SUCCESS", "1.5", "s"],
        ["task1", "FAILED"],
    ]


def test_on_a_terminal_the_tasks_stand_in_a_table() -> None:
    shown_on, shown = console(terminal=True)
    with TaskBoard(shown_on) as board:
        board.show(run("SUCCESS", "FAILED", "RETRY_WAIT"))
    text = shown.getvalue()
    for part in ("The job", "Task 0", "1.5 s", "no_products", "×3"):
        assert part in text, part


def children(folder: Path) -> Any:
    child = Child(Role("worker", 1), 0, Output("worker-0", folder, lambda _: None, 0))
    return SimpleNamespace(children=[child])


@pytest.mark.anyio
@pytest.mark.parametrize("terminal", [True, False])
async def test_a_start_shows_who_is_ready(tmp_path: Path, terminal: bool) -> None:
    shown_on, shown = console(terminal=terminal)
    platform = children(tmp_path)
    with StartProgress(shown_on) as progress:
        for state in (State.STARTING, State.READY, State.READY):
            platform.children[0].state = state
            progress.watch(platform)
    assert "worker-0" in shown.getvalue()
    assert "ready" in shown.getvalue()
    if not terminal:
        assert len(shown.getvalue().splitlines()) == 1
    before = shown.getvalue()
    progress.watch(platform)
    assert shown.getvalue() == before
