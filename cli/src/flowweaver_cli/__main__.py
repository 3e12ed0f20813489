"""The program `flowweaver`. Exit codes: 0 done, 1 failed, 2 cannot be set up as asked, 3 not ready."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flowweaver_cli import endpoint, logfiles, probe
from flowweaver_cli.settings import Settings, not_on_sqlite, parse_replicas
from kit import messages
from kit.messages import text

FAILED, CANNOT, NOT_READY = 1, 2, 3

messages.load("flowweaver_cli")
messages.language.set("en" if os.environ.get("FLOWWEAVER_LANGUAGE") == "en" else "ko")

app = typer.Typer(
    help=text("help_program"), no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False
)
keys = typer.Typer(help=text("help_keys"), no_args_is_help=True)
app.add_typer(keys, name="keys")
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Data = Annotated[Path | None, typer.Option("--data", help=text("help_data"))]


def _settings(data: Path | None) -> Settings:
    """The environment's, and the data folder named on the command line. Exits 2 when something is not valid."""
    try:
        return Settings() if data is None else Settings(data=data)
    except ValidationError as error:
        for item in error.errors():
            name = "FLOWWEAVER_" + ".".join(str(part) for part in item["loc"]).upper()
            errors.print(text("settings_invalid", name=name, reason=item["msg"]), style="red", markup=False)
        raise typer.Exit(CANNOT) from error


def _refuse_on_sqlite(counts: dict[str, int]) -> None:
    if refused := not_on_sqlite(counts):
        errors.print(text("sqlite_sole_replica", services=", ".join(refused)), style="red")
        raise typer.Exit(CANNOT)


@app.command(help=text("help_up"))
def up(
    data: Data = None,
    quiet: Annotated[bool, typer.Option("--quiet", help=text("help_quiet"))] = False,
    unattended: Annotated[bool, typer.Option("--unattended", help=text("help_unattended"))] = False,
) -> None:
    settings = _settings(data)
    if settings.sqlite:
        _refuse_on_sqlite(settings.replicas)
    from flowweaver_cli import foreground

    raise typer.Exit(asyncio.run(foreground.run(settings, errors, quiet=quiet, unattended=unattended)))


@app.command(help=text("help_stop"))
def stop(data: Data = None) -> None:
    folder = _settings(data).data.resolve()
    holder = endpoint.find_holder(folder)
    if holder is None:
        errors.print(text("not_running", data=folder))
        raise typer.Exit(NOT_READY)
    endpoint.ask_to_stop(holder)
    deadline = time.monotonic() + 90
    while endpoint.find_holder(folder) is not None:
        if time.monotonic() > deadline:
            errors.print(text("not_stopped", pid=holder.pid))
            raise typer.Exit(FAILED)
        time.sleep(0.1)
    errors.print(text("stopped"))


@app.command(help=text("help_status"))
def status(data: Data = None, as_json: Annotated[bool, typer.Option("--json", help=text("help_json"))] = False) -> None:
    folder = _settings(data).data.resolve()
    found = endpoint.read(folder)
    healthy = found is not None and not found.missing and asyncio.run(probe.answers(found.base_url))
    shown = endpoint.measured(found) if found is not None else None
    if as_json:
        empty: dict[str, Any] = {
            "base_url": None,
            "pid": None,
            "ready_s": None,
            "pss_mb": None,
            "children": [],
            "missing": [],
        }
        print(json.dumps({"ready": healthy, **(asdict(shown) if shown else empty)}))
    elif shown is None:
        errors.print(text("not_ready", data=folder))
    else:
        _show(shown)
    raise typer.Exit(0 if healthy else NOT_READY)


def _show(found: endpoint.Endpoint) -> None:
    table = Table("service", "replica", "pid", "port", "PSS MB", title=found.base_url)
    for child in found.children:
        table.add_row(child.service, str(child.replica), str(child.pid), str(child.port), f"{child.pss_mb:.1f}")
    table.add_row("", "", "", "", f"{found.pss_mb:.1f}")
    Console().print(table)


@app.command(help=text("help_scale"))
def scale(replicas: Annotated[str, typer.Argument(help=text("help_replicas"))], data: Data = None) -> None:
    folder = _settings(data).data.resolve()
    try:
        counts = parse_replicas(replicas)
    except ValueError as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(CANNOT) from error
    holder = endpoint.find_holder(folder)
    if holder is None or endpoint.read(folder) is None:
        errors.print(text("not_running", data=folder))
        raise typer.Exit(NOT_READY)
    if holder.sqlite:
        _refuse_on_sqlite(counts)
    endpoint.ask_for_replicas(folder, holder, counts)
    deadline = time.monotonic() + 60
    while not _has_replicas(endpoint.read(folder), counts):
        if time.monotonic() > deadline:
            errors.print(text("not_scaled"), style="red")
            raise typer.Exit(FAILED)
        time.sleep(0.1)
    errors.print(text("scaled", counts=replicas))


def _has_replicas(found: endpoint.Endpoint | None, counts: dict[str, int]) -> bool:
    services: Sequence[str] = [child.service for child in found.children] if found else []
    return all(services.count(service) == count for service, count in counts.items())


@app.command(help=text("help_logs"))
def logs(
    children: Annotated[list[str] | None, typer.Argument(help=text("help_children"))] = None,
    data: Data = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help=text("help_follow"))] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help=text("help_lines"))] = 20,
) -> None:
    folder = _settings(data).data.resolve() / "logs"
    files = logfiles.find(folder, children or [])
    if not files:
        errors.print(text("no_logs", folder=folder))
        raise typer.Exit(FAILED)
    logfiles.show(files, lines)
    if follow:
        logfiles.follow(files)


@app.command(help=text("help_demo"))
def demo(
    data: Data = None,
    keyword: Annotated[str | None, typer.Option(help=text("help_keyword"))] = None,
    once: Annotated[bool, typer.Option("--once", help=text("help_once"))] = False,
    keep: Annotated[bool, typer.Option("--keep", help=text("help_keep"))] = False,
) -> None:
    settings = _settings(data)
    from flowweaver_cli import demo as show

    raise typer.Exit(show.demo(settings, show.Wish(keyword or None, once, keep), errors))


@app.command(help=text("help_apply"))
def apply(file: Annotated[Path, typer.Argument(help=text("help_file"))], data: Data = None) -> None:
    from flowweaver_cli import commands

    raise typer.Exit(commands.apply(_settings(data), file, errors))


@app.command(help=text("help_run"))
def run(
    workflow: Annotated[str, typer.Argument(help=text("help_workflow"))],
    data: Data = None,
    values: Annotated[str, typer.Option("--input", help=text("help_input"))] = "{}",
    key: Annotated[str | None, typer.Option("--key", help=text("help_key"))] = None,
    wait: Annotated[bool, typer.Option("--wait", help=text("help_wait"))] = False,
) -> None:
    from flowweaver_cli import commands

    raise typer.Exit(commands.run(_settings(data), workflow, values, key=key, wait=wait, console=errors))


@keys.command(name="rotate", help=text("help_keys_rotate"))
def rotate_keys(data: Data = None) -> None:
    from flowweaver_cli import signing

    raise typer.Exit(signing.rotate(_settings(data), errors))


@app.command(help=text("help_version"))
def version() -> None:
    from importlib.metadata import version as installed

    print(installed("flowweaver-cli"))


def main() -> None:
    app()


if __name__ == "__main__":
    main()
