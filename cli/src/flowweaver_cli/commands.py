"""The commands that talk to a running platform as its administrator: apply a definition, start a run."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from flowweaver_cli import definition, endpoint, runs
from flowweaver_cli.client import ApiError, Client, Unreachable
from flowweaver_cli.definition import DefinitionInvalid
from flowweaver_cli.session import PasswordUnknown, as_administrator
from flowweaver_cli.settings import Settings
from flowweaver_cli.taskboard import TaskBoard
from kit.ids import new_id
from kit.messages import text

DONE, FAILED, CANNOT, NOT_READY = 0, 1, 2, 3


def apply(settings: Settings, file: Path, console: Console) -> int:
    """Prints the workflow's id on standard output."""

    def work(client: Client) -> int:
        wanted = definition.read(file)
        workflow_id = definition.apply(client, wanted)
        console.print(text("applied", name=wanted["name"], workflow_id=workflow_id), markup=False)
        print(workflow_id)
        return DONE

    return _with_client(settings, console, work)


def run(settings: Settings, workflow: str, values: str, *, key: str | None, wait: bool, console: Console) -> int:
    """Prints the run's id, or with `wait` the whole run as JSON, on standard output."""

    def work(client: Client) -> int:
        workflow_id = _workflow_id(client, workflow)
        if workflow_id is None:
            console.print(text("workflow_unknown", name=workflow), style="red", markup=False)
            return CANNOT
        run_id = runs.start(client, workflow_id, _object(values), key or new_id())
        if not wait:
            print(run_id)
            return DONE
        with TaskBoard(console) as board:
            ended = runs.follow(client, run_id, board.show)
        console.print(text("run_state", run_id=run_id, state=ended["state"]))
        print(json.dumps(ended, ensure_ascii=False))
        return DONE if ended["state"] == "SUCCESS" else FAILED

    return _with_client(settings, console, work)


def _with_client(settings: Settings, console: Console, work: Any) -> int:
    found = endpoint.read(settings.data.resolve())
    if found is None:
        console.print(text("not_running", data=settings.data.resolve()), markup=False)
        return NOT_READY
    try:
        with closing(as_administrator(settings, found)) as client:
            return int(work(client))
    except (ApiError, Unreachable) as error:
        console.print(text("request_failed", reason=str(error)), style="red", markup=False)
        return FAILED
    except (DefinitionInvalid, PasswordUnknown) as error:
        console.print(str(error), style="red", markup=False)
        return CANNOT


def _workflow_id(client: Client, workflow: str) -> str | None:
    """By id or by name."""
    for item in client.items("/v0/workflows"):
        if workflow in (item["workflow_id"], item["name"]):
            return str(item["workflow_id"])
    return None


def _object(values: str) -> dict[str, Any]:
    try:
        found = json.loads(values)
    except ValueError as error:
        raise DefinitionInvalid(text("input_invalid")) from error
    if not isinstance(found, dict):
        raise DefinitionInvalid(text("input_invalid"))
    return found
