"""What workflow-service says of a definition, as the engine takes it."""

from dataclasses import replace

from engine_house import ORGANIZATION, SECRET, Definitions, chain

from execution_service.clients import WorkflowClient
from execution_service.domain.definition import Concurrency, Definition, Overflow
from kit.auth import ServiceTokens


def asked(peer: tuple[Definitions, str], definition: Definition) -> Definition:
    servicer, address = peer
    servicer.known[definition.workflow_id] = definition
    client = WorkflowClient(address, ServiceTokens(SECRET, "execution-service"))
    try:
        return client.definition(ORGANIZATION, definition.workflow_id, definition.version)
    finally:
        client.close()


def test_limits_that_runs_share_arrive(definitions: tuple[Definitions, str]) -> None:
    plain = chain(2)
    first, second = plain.jobs[0].tasks
    keyed = replace(second, concurrency_key="shop-${{ run.input.n }}", concurrency_limit=7)
    jobs = (replace(plain.jobs[0], tasks=(first, keyed)),)
    for overflow in Overflow:
        found = asked(definitions, replace(plain, jobs=jobs, concurrency=Concurrency(3, overflow)))
        assert found.concurrency == Concurrency(3, overflow)
    tasks = found.jobs[0].tasks
    assert [(task.concurrency_key, task.concurrency_limit) for task in tasks] == [
        (None, 1),
        ("shop-${{ run.input.n }}", 7),
    ]


def test_what_says_nothing_of_limits_has_none(definitions: tuple[Definitions, str]) -> None:
    assert asked(definitions, chain(1)).concurrency is None
