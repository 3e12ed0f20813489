"""What decision 0015 promises of a second try."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_TESTS = """
import itertools

import pytest

made = itertools.count(1)


@pytest.fixture(scope="session")
def whole():
    yield next(made)


@pytest.fixture(scope="module")
def part(whole):
    yield whole, next(made)


@pytest.fixture(scope="module")
def late(part):
    assert part != (1, 2), "only the first time"
    return part


def test_that_reads_what_its_file_made(part):
    assert part != (1, 2)


def test_that_goes_on(part):
    assert part == (3, 4)
"""


def tried(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(folder: Path, more: str = "") -> None:
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "test_twice.py").write_text(_TESTS.replace("def test_that_reads", f"{more}\n\n\ndef test_that_reads"))


@pytest.mark.parametrize(
    ("broken", "processes"),
    [("", "0"), ("def test_whose_file_cannot_be_set_up(late): ...", "1")],
    ids=["in the test", "in a fixture"],
)
def test_a_second_try_stands_on_nothing_of_the_first(tmp_path: Path, broken: str, processes: str) -> None:
    write(tmp_path, broken)
    done = tried(tmp_path, "--reruns", "1", "-n", processes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rerun" in done.stdout.splitlines()[-1], done.stdout


def test_without_a_second_try_what_fails_has_failed(tmp_path: Path) -> None:
    write(tmp_path)
    done = tried(tmp_path)
    assert done.returncode == 1
    assert "2 failed" in done.stdout.splitlines()[-1], done.stdout
