"""The benchmark with a long history, with a short one: what it loads is what the platform itself would have left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import mariadb

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def mariadb_is_here(left_out: dict[str, str]) -> None:
    if (why := mariadb.missing()) is not None:
        left_out["a long history (make bench-history)"] = why
        pytest.skip("no MariaDB: see NOT COVERED")


@pytest.mark.process
@pytest.mark.usefixtures("mariadb_is_here")
def test_loaded_runs_are_as_the_platforms_own_and_are_read_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    out.write_text('{"W1": {"ms_per_task": 1.0}, "history": {"runs": 0}}')
    command = [
        sys.executable, "-m", "bench.history", "--runs", "200", "--old", "3", "--pool", "128M", "--workflows", "1",
        "--work", "-", "--out", str(out),
    ]  # fmt: skip
    said_there = tmp_path / "said"
    with said_there.open("wb") as said_by_it:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said_by_it, stderr=said_by_it)
    try:
        status = process.wait(240)
    finally:
        # asked to end, it ends all that it started
        process.terminate()
        process.wait(60)
    assert status == 0, said_there.read_text()
    said = json.loads(out.read_text())
    assert said["W1"] == {"ms_per_task": 1.0}
    found = said["history"]
    assert found["runs"] == found["rows"]["workflow_run"] == found["rows"]["start_key"] == 200
    # five runs of 1,000 tasks, five of one, the others of ten
    assert found["rows"]["task_run"] == 5 * 1000 + 5 + 190 * 10
    # every state of either trigger, the wide run and the one with a long log: the same to the last field and row
    assert found["compared"] >= 7
    assert found["purge"]["runs"] == 3
    parts = {one["part"] for one in found["W6"]["requests"]}
    assert parts == {"list", "detail", "log"}
    for one in found["W6"]["requests"]:
        assert one["requests"] >= 60
        assert 0 < one["p50_ms"] <= one["p95_ms"] <= one["max_ms"]
        assert one["plans"], one["name"]
    for part in parts:
        assert found["W6"][f"{part}_p95_ms"] == max(
            one["p95_ms"] for one in found["W6"]["requests"] if one["part"] == part
        )
    assert found["folder"].startswith("history-")
    assert not (ROOT / ".cache" / "bench" / found["folder"]).exists()


def test_too_little_room_is_said_before_anything_is_made() -> None:
    command = [sys.executable, "-m", "bench.history", "--runs", str(10**10)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "GB" in done.stderr
