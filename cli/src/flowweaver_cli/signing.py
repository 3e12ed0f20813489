"""The keys that sign people's tokens. They are identity-service's: its own program changes them, in its database."""

import os
import subprocess
import sys

from rich.console import Console

from flowweaver_cli.settings import Settings
from kit.messages import text

_DONE, _FAILED, _NOTHING = 0, 1, 3


def rotate(settings: Settings, console: Console) -> int:
    """Prints the new key's id on standard output. 3: there are no keys yet, 1: it did not work."""
    data = settings.data.resolve()
    done = subprocess.run(
        [sys.executable, "-m", "identity_service.rotate"],
        env={**os.environ, "FLOWWEAVER_DATA": str(data)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == _NOTHING:
        console.print(text("keys_none", data=data), markup=False)
        return _NOTHING
    if done.returncode != 0:
        console.print(text("keys_not_rotated", reason=done.stderr.strip()), style="red", markup=False)
        return _FAILED
    kid = done.stdout.strip()
    console.print(text("keys_rotated", kid=kid), markup=False)
    print(kid)
    return _DONE
