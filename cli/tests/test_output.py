"""Where the children's lines go."""

import asyncio
import os
from pathlib import Path

import pytest

from flowweaver_cli import logfiles
from flowweaver_cli.output import LogFile, Output, readable


def test_a_full_log_file_is_turned_over_and_the_oldest_goes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "one.log", most_bytes=20, files=3)
    for number in range(10):
        log.write(f"line {number:03}\n".encode())
    log.close()
    files = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert files == {
        "one.log": "line 008\nline 009\n",
        "one.log.1": "line 006\nline 007\n",
        "one.log.2": "line 004\nline 005\n",
    }
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0


def test_a_log_file_goes_on_where_an_earlier_start_ended(tmp_path: Path) -> None:
    for line in (b"first\n", b"second\n"):
        log = LogFile(tmp_path / "one.log")
        log.write(line)
        log.close()
    assert (tmp_path / "one.log").read_bytes() == b"first\nsecond\n"


@pytest.mark.anyio
async def test_each_line_of_a_child_is_shown_with_its_name_and_kept(tmp_path: Path) -> None:
    shown: list[str] = []
    reader, writer = os.pipe()
    output = Output("worker-0", tmp_path, shown.append, 0)
    long = "x" * 200_000
    os.set_blocking(writer, True)
    pid = os.fork()
    if pid == 0:
        # a writer that would block if nobody read
        os.write(writer, b"one\n\xff two\n" + long.encode() + b"\nlast without an end")
        os._exit(0)
    os.close(writer)
    await output.take(reader)
    await asyncio.to_thread(os.waitpid, pid, 0)
    output.close()
    assert shown[0] == "worker-0     │ one"
    assert shown[1] == "worker-0     │ \ufffd two"
    assert shown[-1] == "worker-0     │ last without an end"
    assert "".join(line.removeprefix("worker-0     │ ") for line in shown[2:-1]) == long
    assert output.last[-1] == "last without an end"
    assert (tmp_path / "worker-0.log").read_text(errors="replace").startswith("one\n")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain text", "plain text"),
        ("{not json", "{not json"),
        (
            '{"event":"request","level":"info","timestamp":"2026-01-02T03:04:05.678901Z","status":200,"service":"x"}',
            "03:04:05.678 info request status=200",
        ),
        (
            '{"level":"warn","time":"2026-01-02T03:04:05Z","message":"of Traefik"}',
            "03:04:05Z \x1b[33mwarn\x1b[0m of Traefik",
        ),
        (
            '{"RequestMethod":"GET","RequestPath":"/health","DownstreamStatus":200,"Duration":1500000}',
            "GET /health 200 1.5 ms",
        ),
        ('{"event":"failed","level":"error","exception":"Traceback"}', " \x1b[31merror\x1b[0m failed\nTraceback"),
    ],
)
def test_a_json_line_becomes_one_that_a_person_reads(line: str, shown: str) -> None:
    assert readable(line) == shown


def test_the_last_lines_of_chosen_children_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("worker-0", "worker-1", "nats-0"):
        (tmp_path / f"{name}.log").write_text("".join(f"{name} line {number}\n" for number in range(5)))
    (tmp_path / "worker-0.log.1").write_text("older\n")
    files = logfiles.find(tmp_path, ["worker"])
    assert [file.name for file in files] == ["worker-0.log", "worker-1.log"]
    assert len(logfiles.find(tmp_path, [])) == 3
    logfiles.show(files, 2)
    printed = capsys.readouterr().out.splitlines()
    assert [line.rpartition("│ ")[2] for line in printed] == [
        "worker-0 line 3",
        "worker-0 line 4",
        "worker-1 line 3",
        "worker-1 line 4",
    ]
