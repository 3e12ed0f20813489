"""Limits at all their levels on MariaDB, with two replicas of engine and worker: kept, felt, and no run is left
over. What ran at once is told by the tasks themselves, what was held by the database (`chaos.limits`)."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from platform_house import eventually, ok

from bench import mariadb
from chaos import witness
from chaos.audit import audit
from chaos.book import Library
from chaos.house import House
from chaos.limits import LIMITS, levels, lingered
from chaos.load import Start
from chaos.workflows import compose

pytestmark = pytest.mark.process
COUNTS = {"queued": 5, "keyed": 7, "scarce": 9, "both": 4, "skipped": 4, "replaced": 4, "list": 1}


@pytest.fixture
def house(tmp_path: Path, left_out: dict[str, str]) -> Iterator[House]:
    if (why := mariadb.missing()) is not None:
        left_out["limits with two replicas on MariaDB"] = why
        pytest.skip("no MariaDB: see NOT COVERED")
    house = House(tmp_path / "house", Path(sys.executable).with_name("flowweaver"))
    try:
        house.start()
        yield house
    finally:
        house.stop()


def starts() -> Iterator[Start]:
    for workflow, count in COUNTS.items():
        items = [{"n": n, "seconds": 0.05, "fails": int(n % 10 == 3), "needs": None} for n in range(30)]
        for number in range(count):
            key = f"{workflow}-{number}"
            # all of one site: the key's places are wanted by two workflows
            given = {"n": number, "seconds": 0.5, "key": key, "site": 1, "list": items}
            yield Start(key, workflow, given, False, None)


def begin(api: httpx.Client, workflow_id: str, start: Start) -> None:
    body, headers = {"input": start.input}, {"Idempotency-Key": start.key}
    answer = api.post(f"/workflows/{workflow_id}/run", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    start.answers.add(answer.json()["run_id"])


def test_two_replicas_keep_every_limit_and_end_every_run(house: House) -> None:
    workflows = compose(house.stack)
    witness.install(house.database.url)
    made = list(starts())
    library = Library(house.database.url, house.data / "payloads")
    with closing(library), house.stack.client() as api:
        for start in made:
            begin(api, workflows[start.workflow], start)
        eventually(lambda: library.waiting() == 0, 60, "every run ends, every domain event is published")
        book = library.book(made, workflows, house.stack)
        shown = ok(api.get("/workflow-runs", params={"workflow_id": workflows["replaced"]}))["items"]
    assert not (found := audit(book)), str(found)
    seen, over = levels(book)
    assert over == []
    # every limit was felt: as many places as there are were held, and tasks did run side by side in them
    assert {name: level.held for name, level in seen.items()} == {**LIMITS, "list": 0}
    assert all(2 <= level.most <= level.limit for level in seen.values()), seen
    assert sum(run["state"] == "SUCCESS" for run in shown) >= LIMITS["workflow"]
    # what a cancelled run was doing may have gone on for a moment, nothing else
    assert lingered(book) <= sum(run.state == "CANCELLED" for run in book.runs.values())
