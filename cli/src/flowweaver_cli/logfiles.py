"""Reading what the children wrote: the last lines of their log files, and those that come."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from flowweaver_cli.output import coloured, prefix, readable


def find(folder: Path, beginnings: Sequence[str]) -> list[Path]:
    """The current log files whose names begin with one of `beginnings`; all when there are none."""
    files = sorted(folder.glob("*.log"))
    return [file for file in files if not beginnings or file.stem.startswith(tuple(beginnings))]


def show(files: Sequence[Path], lines: int) -> None:
    for number, file in enumerate(files):
        with file.open(encoding="utf-8", errors="replace") as text:
            for line in deque(text, maxlen=lines):
                _print(file, number, line)


def follow(files: Sequence[Path], *, poll_s: float = 0.3) -> None:
    """Until Ctrl-C. A file that was turned over is read on from its new beginning."""
    positions = {file: file.stat().st_size for file in files}
    try:
        while True:
            for number, file in enumerate(files):
                if file.stat().st_size < positions[file]:
                    positions[file] = 0
                with file.open(encoding="utf-8", errors="replace") as text:
                    text.seek(positions[file])
                    for line in text:
                        _print(file, number, line)
                    positions[file] = text.tell()
            time.sleep(poll_s)
    except KeyboardInterrupt:
        return


def _print(file: Path, number: int, line: str) -> None:
    text = line.rstrip("\n")
    print(prefix(file.stem, number) + (readable(text) if coloured() else text), flush=True)
