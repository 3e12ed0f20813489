import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from grpc._cython import cygrpc

from kit import logs


@pytest.fixture
def configured() -> Iterator[Any]:
    """`logs.configure`, with everything global as it was afterwards."""
    root = logging.getLogger()
    handlers, level, known = root.handlers, root.level, structlog.get_config()
    trace = logs.trace_id.set("")
    yield logs.configure
    root.handlers, root.level = handlers, level
    root.setLevel(level)
    structlog.configure(**known)
    structlog.contextvars.clear_contextvars()
    logs.trace_id.reset(trace)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_json_with_event_level_time_service_and_trace(
    configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("identity", "1")
    logs.trace_id.set("a" * 32)
    structlog.get_logger().info("run_started", run_id="r1", amount=1.5)
    [line] = _lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run_started",
        "run_id": "r1",
        "amount": 1.5,
        "level": "info",
        "service": "identity",
        "replica": "1",
        "trace_id": "a" * 32,
    }


def test_lines_of_libraries_have_the_same_form_and_less_severe_ones_are_left_out(
    configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("identity", "1", level="warning")
    logging.getLogger("some.library").warning("%s failed", "it")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("uvicorn.access").info("chatter")
    structlog.get_logger().info("chatter")
    [line] = _lines(capsys)
    assert (line["event"], line["level"]) == ("it failed", "warning")


@pytest.mark.parametrize(("level", "written"), [("info", 1), ("warning", 0)])
def test_a_caller_that_left_before_its_answer_is_no_error_of_ours(
    configured: Any, capsys: pytest.CaptureFixture[str], level: str, written: int
) -> None:
    configured("identity", "1", level=level)
    library = logging.getLogger("grpc._cython.cygrpc")
    try:
        raise cygrpc.ExecuteBatchError('Failed "execute_batch"')
    except cygrpc.ExecuteBatchError:
        library.exception("ExecuteBatchError raised in core by servicer method [/a.B/C]")
    lines = _lines(capsys)
    assert [line["level"] for line in lines] == ["info"] * written
    assert not any("exception" in line for line in lines)


def test_another_failure_inside_grpc_stays_an_error(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("identity", "1")
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("grpc._cython.cygrpc").exception("Unexpected [ValueError] raised by servicer method [/a.B/C]")
    [line] = _lines(capsys)
    assert line["level"] == "error"
    assert "ValueError" in line["exception"]


def test_secrets_never_reach_a_line(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("identity", "1")
    structlog.get_logger().info(
        "request",
        password="p1",
        headers={"Authorization": "Bearer p2", "x": {"api_key": "p3"}},
        rows=[{"refresh_token": "p4"}, ({"set-cookie": "p5"},)],
        user_id="u1",
    )
    [line] = _lines(capsys)
    assert not [secret for secret in ("p1", "p2", "p3", "p4", "p5") if secret in json.dumps(line)]
    assert line["user_id"] == "u1"
    assert line["headers"]["Authorization"] == "***"


def test_what_is_absent_is_not_masked() -> None:
    assert logs.mask({"token": None, "name": "n"}) == {"token": None, "name": "n"}


def test_values_that_json_lacks_do_not_lose_the_line(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("identity", "1")
    structlog.get_logger().info("odd", big=2**80, half="\ud800", kind=ValueError("x"), **{"where": {1: {2}}})
    [line] = _lines(capsys)
    assert (line["event"], line["big"], line["kind"]) == ("odd", 2**80, "x")


def test_an_exception_is_one_line_with_its_traceback(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("identity", "1")
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        structlog.get_logger().error("request_failed", exc_info=error)
    [line] = _lines(capsys)
    assert "RuntimeError: broken" in line["exception"]


def test_a_terminal_gets_text(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("identity", "1", form="console")
    structlog.get_logger().info("run_started", run_id="r1")
    printed = capsys.readouterr().out
    assert "run_started" in printed
    assert not printed.startswith("{")


def test_a_trace_continues_from_its_header() -> None:
    assert logs.trace_from(f"00-{'ab' * 16}-{'cd' * 8}-01") == "ab" * 16


@pytest.mark.parametrize(
    "header", [None, "", "nonsense", f"00-{'0' * 32}-{'cd' * 8}-01", f"00-{'AB' * 16}-{'cd' * 8}-01", "00-ab-cd-01"]
)
def test_a_malformed_trace_is_replaced_by_a_new_one(header: str | None) -> None:
    first, second = logs.trace_from(header), logs.trace_from(header)
    assert first != second
    assert len(first) == len(second) == 32


def test_the_trace_is_carried_onward_with_a_new_span() -> None:
    token = logs.trace_id.set("ab" * 16)
    try:
        assert logs.trace_from(logs.traceparent()) == "ab" * 16
        assert logs.traceparent() != logs.traceparent()
    finally:
        logs.trace_id.reset(token)
