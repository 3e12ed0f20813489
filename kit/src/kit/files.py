"""Files that are whole or not there."""

import os
import secrets
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Makes the folder too. A reader sees the old file or the new one, after a crash of the machine as well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: the target's may be as long as a name can be
    fresh = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
