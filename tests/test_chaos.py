"""Real faults for a short while: nothing accepted is lost, done twice or stuck; and whatever was is noticed."""

import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from platform_house import eventually

from bench import mariadb
from chaos import faults, load, witness
from chaos.book import Claim, Library, Move, Place
from chaos.limits import LIMITS
from chaos.workflows import BURSTS, DEALT, WORKFLOWS
from execution_service.storage import tables as engine_tables
from kit.database import Database
from worker_service.storage import metadata as worker_metadata

ROOT = Path(__file__).resolve().parents[1]
STRUCK = ("execution.kill", "worker.kill", "nats.wipe", "mariadb.kill", "mariadb.restart")


@pytest.fixture
def mariadb_is_here(left_out: dict[str, str]) -> None:
    if (why := mariadb.missing()) is not None:
        left_out["real faults under load (make chaos)"] = why
        pytest.skip("no MariaDB: see NOT COVERED")


# --- for real -------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.usefixtures("mariadb_is_here")
def test_nothing_accepted_is_lost_doubled_or_stuck(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    command = [
        sys.executable, "-m", "chaos", "--minutes", "0.2", "--every", "2", "--rate", "5", "--seed", "1",
        "--faults", ",".join(STRUCK), "--out", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == json.loads(out.read_text())
    assert [said[name] for name in ("lost", "doubled", "stuck", "over", "wrong")] == [0, 0, 0, 0, 0]
    assert said["accepted"] == said["terminal"] == said["starts"]["made"]
    assert said["accepted"] > 20
    assert said["kills"].keys() == set(STRUCK)
    assert said["effects"]["happened"] > 0
    # waits, lists, runs of runs, what people do, and limits that were felt
    did = said["did"]
    assert did["workflows"].keys() == set(WORKFLOWS)
    assert did["items"] > 100
    counted = ("answered", "cancelled", "paused", "reruns", "children", "skipped", "replaced", "items_tried_again")
    assert all(did[name] > 0 for name in counted), did
    assert said["payloads"]["rows"] > 0
    assert said["limits"].keys() == set(LIMITS)
    assert all(2 <= level["most"] <= level["limit"] == LIMITS[name] for name, level in said["limits"].items()), said


@pytest.mark.process
@pytest.mark.usefixtures("mariadb_is_here")
def test_interrupted_it_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaos", "--minutes", "5", "--out", str(tmp_path / "chaos.json")]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
    whole = psutil.Process(process.pid)

    def supervised() -> bool:
        """Whether the supervisor has begun: the database runs then."""
        try:
            return any(process.cmdline()[-1:] == ["up"] for process in whole.children())
        except psutil.Error:
            return False  # one that just ended

    try:
        eventually(supervised, 90, "the supervisor starts")
        left = whole.children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130, (tmp_path / "said").read_text()
        _, alive = psutil.wait_procs(left, timeout=10)
        assert alive == []
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    assert not (tmp_path / "chaos.json").exists()


def test_a_seed_is_one_schedule_and_one_load() -> None:
    first, again, other = (list(islice(faults.draw(seed, 5.0, faults.KINDS), 40)) for seed in (3, 3, 4))
    assert first == again != other
    # each kind is dealt once before any comes again
    assert Counter(drawn.kind for drawn in first[: len(faults.KINDS)]) == Counter(faults.KINDS)
    deck = sum(DEALT.values()) + sum(BURSTS.values())
    starts, same = (list(islice(load.draw(seed), 2 * deck)) for seed in (3, 3))
    assert starts == same
    # and each workflow is dealt in every deck
    assert {start.workflow for start in starts[:deck]} == {start.workflow for start in starts[deck:]} == set(WORKFLOWS)
    assert len({start.key for start in starts}) == 2 * deck
    assert {start.deed for start in starts} == {"", "cancel", "pause"}
    assert any(start.twice for start in starts)
    assert any(start.again_after_s is not None for start in starts)


@pytest.mark.process
def test_the_database_notes_what_is_written_over(own_mariadb_port: int) -> None:
    url = f"mysql+pymysql://root@127.0.0.1:{own_mariadb_port}"
    for schema, metadata in (("flowweaver_execution", engine_tables.metadata), ("flowweaver_worker", worker_metadata)):
        metadata.create_all(Database(f"{url}/{schema}?charset=utf8mb4").engine)
    witness.install(f"{url}?charset=utf8mb4")

    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    library = Library(url)
    with engine.connect() as connection, closing(library):

        def write(statement: str) -> None:
            connection.exec_driver_sql(statement)

        for direction in ("in", "out"):
            for _ in range(2):
                # as the engine writes: the second is an update that changes nothing
                write(
                    "INSERT INTO flowweaver_execution.task_io_data"
                    " (task_io_data_id, task_run_id, workflow_run_id, organization_id, direction, body, size)"
                    f" VALUES ('t.{direction}', 't', 'r', 'o', '{direction}', '1', 1)"
                    " ON DUPLICATE KEY UPDATE body = VALUES(body)"
                )
        write(
            "INSERT INTO flowweaver_execution.task_run (task_run_id, workflow_run_id, organization_id, position,"
            " task_key, type, state, attempt, delivery, worker, version)"
            " VALUES ('t', 'r', 'o', 0, 'k', 'test.increment', 'RUNNING', 1, 1, 'host-0-7-a', 1)"
        )
        write("UPDATE flowweaver_execution.task_run SET worker = 'host-0-8-b', started_at = 5")
        write("UPDATE flowweaver_execution.task_run SET state = 'SUCCESS', worker = 'host-0-8-b'")
        assert library.changed() == []
        write("UPDATE flowweaver_execution.task_run SET worker = 'host-0-9-c'")
        write(
            "INSERT INTO flowweaver_worker.effect (effect_id, organization_id, run_id, type, state, claimed_by,"
            " claimed_at, created_at) VALUES ('t', 'o', 'r', 'test.effect', 'claimed', 'a', 1, 1)"
        )
        write("UPDATE flowweaver_worker.effect SET claimed_by = 'b', claimed_at = 2")
        write("UPDATE flowweaver_worker.effect SET state = 'done', claimed_at = 3")
        write(
            "INSERT INTO flowweaver_execution.scope_place (scope_place_id, owner, scope_id, scope_name,"
            " workflow_run_id, organization_id, attempt, state, place_limit, overflow, priority, since)"
            " VALUES ('t.s', 't', 's', 'queue:q', 'r', 'o', 1, 'waiting', 2, 'queue', 3, 1)"
        )
        for change in ("'granted'", "'taken'", "'waiting'", "'granted'"):
            write(f"UPDATE flowweaver_execution.scope_place SET state = {change}")
        write("DELETE FROM flowweaver_execution.scope_place")

        assert library.written() == {"t": 2}
        assert library.moves() == [Move("t", "host-0-7-a", 5)]
        assert library.changed() == ["t: SUCCESS 1 host-0-8-b → SUCCESS 1 host-0-9-c"]
        assert list(library.over()) == [("t", 1)]
        places = library.places()
        assert [place.held for place in places] == [True, False, True, False]
        assert {(place.scope, place.owner, place.limit) for place in places} == {("queue:q", "t", 2)}
        assert all(isinstance(place, Place) for place in places)
        assert library.claims() == {"t": [Claim("claimed", "a", 1), Claim("claimed", "b", 2), Claim("done", "b", 3)]}
    engine.dispose()
