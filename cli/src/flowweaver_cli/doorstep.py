"""Where a person goes on when the demo's run has ended: the run's page in the web app, and how to log in there."""

import asyncio
import os
import sys
import webbrowser
from urllib.parse import urlsplit

from rich.console import Console

from flowweaver_cli import probe
from flowweaver_cli.first_password import FirstPassword
from flowweaver_cli.settings import Settings
from kit.messages import text


def show(settings: Settings, console: Console, base_url: str, run_id: str | None, *, opens: bool) -> None:
    """Tells the address and the log-in; `opens` it in the browser of a desktop, where there is one."""
    page = f"{base_url}/runs/{run_id}" if run_id else base_url
    address = urlsplit(base_url)
    if not asyncio.run(probe.is_well(address.port or 80, "/login", tls=address.scheme == "https")):
        console.print(text("demo_no_web"), markup=False)
        return
    console.print(text("demo_web", url=page), style="bold green", markup=False)
    kept = FirstPassword(settings).file
    login = "demo_log_in_kept" if settings.admin_password is None and kept.exists() else "demo_log_in"
    console.print(text(login, email=settings.administrator, path=kept), markup=False)
    if opens:
        _open(page)


def _open(page: str) -> None:
    """Only what opens beside the terminal: a text browser would take it over."""
    chosen = bool(os.environ.get("BROWSER"))
    if not (chosen or sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if chosen or type(browser) is not webbrowser.GenericBrowser:
        browser.open(page)
