"""Every operation of every service, asked with requests made up from the OpenAPI document: tests/fuzz, in small."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fuzz import aftermath
from fuzz.drive import Fuzzer, Tally, by_service
from platform_house import Platform, ok

SERVICES = ("execution", "identity", "scheduler", "worker", "workflow")
# of each kind, for every operation; the same ones each time
EACH = 3
NUMBER = 20240229


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: its logs are read afterwards, and what is left in it is in nobody's way."""
    found = Platform(tmp_path_factory.mktemp("fuzzed")).start(120)
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="module")
def document(own: Platform) -> dict[str, Any]:
    found: dict[str, Any] = ok(httpx.get(f"{own.base_url}/openapi.json", timeout=30))
    return found


@pytest.fixture(scope="module")
def before(own: Platform) -> dict[str, int]:
    return aftermath.processes(own)


@pytest.fixture(scope="module")
def fuzzer(own: Platform, document: dict[str, Any], before: dict[str, int]) -> Iterator[Fuzzer]:
    found = Fuzzer(own, document, NUMBER)
    yield found
    found.close()


def test_each_operation_belongs_to_a_service(document: dict[str, Any]) -> None:
    operations = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    services = by_service(document)
    assert sorted(services) == list(SERVICES)
    assert {label for labels in services.values() for label in labels} == operations


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_asked_the_answer_is_what_the_document_promises(
    fuzzer: Fuzzer, document: dict[str, Any], service: str
) -> None:
    labels = by_service(document)[service]
    tally = Tally()
    fuzzer.drive(labels, EACH, tally)
    assert not tally.findings, "\n".join(str(finding) for finding in tally.findings.values())
    answered = {label: tally.of(label) for label in labels}
    assert not [status for found in answered.values() for status in found if not 200 <= status < 500]
    assert all(answered.values()), [label for label, found in answered.items() if not found]
    succeeded = {label for label, found in answered.items() if any(200 <= status < 300 for status in found)}
    # each can be made to succeed, without exception
    assert succeeded == set(labels)
    good = sum(times for found in answered.values() for status, times in found.items() if 200 <= status < 300)
    assert good / sum(found.total() for found in answered.values()) >= 0.3


def test_afterwards_the_platform_is_as_well_as_before(fuzzer: Fuzzer, own: Platform, before: dict[str, int]) -> None:
    found = [
        f"{where}: {fault.check}: {fault.summary}\n{fault.detail}" for where, fault in aftermath.faults(own, before)
    ]
    assert not found, "\n".join(found)


def test_what_looks_for_trouble_in_logs_would_find_it(own: Platform, tmp_path: Any) -> None:
    """A line of each sort, among lines of a healthy platform."""
    trouble = {
        "service-0.log": '{"level": "error", "event": "request_failed", "exception": "Traceback (most…"}',
        "gateway-0.log": '{"DownstreamStatus": 502, "ServiceName": "workflow@file", "level": "info"}',
        "plain-0.log": "Traceback (most recent call last):",
        "nats-0.log": "[7] 2026/01/01 00:00:00.000000 [ERR] JetStream failed",
    }
    for name, line in trouble.items():
        healthy = '{"level": "info", "event": "request", "status": 200}\nINFO:     Started server process [7]\n'
        (tmp_path / name).write_text(f"{healthy}{line}\n{healthy}")
    found = list(aftermath.in_logs(tmp_path))
    assert sorted(where for where, _ in found) == sorted(trouble)
    assert all(re.search("request_failed|502|unhandled", fault.summary) for _, fault in found)
