"""What is said of a task: its lines bounded and clean, its outcome held against what its type declares."""

import asyncio
import datetime
import itertools
from typing import Any

import orjson
import pytest

from worker_service import outcomes, sdk
from worker_service.reports import LINES_AT_ONCE, LINES_MOST, PATIENCE, Lines, Results, send_lines
from worker_service.sdk import ErrorCode, StateConflict, TaskError, TaskIds
from worker_service.wire import Outbox

IDS = TaskIds("t1", "r1", "org1", "w", "k", 2, "")


class Result(sdk.Output):
    n: int
    ratio: float = 0.0


TYPE = sdk.TaskType(
    name="test.local",
    module="worker_service.tasks.test_tasks",
    function=lambda: None,
    parameters=sdk.Parameters,
    output=Result,
    errors=(ErrorCode("test_retryable", retryable=True), ErrorCode("bare")),
    isolation="loop",
    effect=False,
    timeout_s=1,
    queue="default",
)


def sent(outbox: Outbox) -> list[Any]:
    return [(subject, orjson.loads(payload)) for subject, payload, _ in outbox._waiting]


class Times(Outbox):
    """When something was sent, and where to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    @property
    def connected(self) -> bool:
        return True

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        self.sent.put_nowait((asyncio.get_running_loop().time(), subject))


@pytest.mark.anyio
async def test_an_engine_that_is_behind_is_asked_less_and_less_often() -> None:
    outbox = Times()
    results = Results(outbox, answer_s=0.01)
    results.report("engine.1", b"{}", lambda: None)
    asked = [await outbox.sent.get() for _ in range(8)]
    results.forget_all()
    assert [subject for _, subject in asked] == ["engine.1.result", "engine.result"] * 4
    # the difference of two times in seconds may miss a hundredth by what floats leave out
    waits = [round(after - before, 6) for (before, _), (after, _) in itertools.pairwise(asked)]
    least = [0.01 * times for times in (1, 1, 2, 2, PATIENCE, PATIENCE, PATIENCE)]
    assert all(wait >= wanted for wait, wanted in zip(waits, least, strict=True))


@pytest.mark.anyio
async def test_lines_go_out_in_numbered_portions() -> None:
    lines, outbox = Lines(IDS), Outbox()
    told = [lines.write(n, "info", f"e{n}", {"n": n}) for n in range(LINES_AT_ONCE + 1)]
    assert [n for n, tell in enumerate(told) if tell] == [0, LINES_AT_ONCE - 1]
    send_lines(outbox, lines, "w1")
    (subject, first), (_, second) = sent(outbox)
    assert subject == "engine.log"
    assert (first["task_run_id"], first["attempt"], first["worker"]) == ("t1", 2, "w1")
    assert [line["seq"] for line in first["lines"] + second["lines"]] == list(range(1, LINES_AT_ONCE + 2))
    send_lines(outbox, lines, "w1")
    assert len(sent(outbox)) == 2


@pytest.mark.anyio
async def test_of_the_progress_that_waits_only_the_latest_becomes_a_line() -> None:
    lines, outbox = Lines(IDS), Outbox()
    lines.hide(["geheim"])
    assert [lines.tell_progress(n, n / 10, f"step {n}, geheim") for n in range(3)] == [True, False, False]
    lines.write(9, "info", "between", {})
    lines.take_progress()
    lines.take_progress()
    send_lines(outbox, lines, "w1")
    [(_, said)] = sent(outbox)
    assert said["lines"] == [
        {"seq": 1, "at": 9, "level": "info", "event": "between", "fields": {}},
        {
            "seq": 2,
            "at": 2,
            "level": "info",
            "event": "progress",
            "fields": {"fraction": 0.2, "message": "step 2, ***"},
        },
    ]
    assert lines.tell_progress(10, 1.0, "") is True


def test_progress_is_told_though_the_log_is_full() -> None:
    lines = Lines(IDS)
    for n in range(LINES_MOST + 1):
        lines.write(n, "info", "again", {})
    lines.tell_progress(1, 1.0, "done")
    lines.take_progress()
    assert lines.waiting[-1][2] == "progress"


def test_a_task_that_talks_without_end_is_cut_off() -> None:
    lines = Lines(IDS)
    for n in range(LINES_MOST + 10):
        lines.write(n, "info", "again", {})
    assert len(lines.waiting) == LINES_MOST
    assert lines.waiting[-1][2] == "log_truncated"


def test_a_line_is_clean_bounded_json() -> None:
    lines = Lines(IDS)
    lines.hide(['pass"word', "abc", 7])
    lines.write(0, "info", 'the pass"word', {"api_key": "x", "url": 'http://u:pass"word@h', "abc": "abc"})
    lines.write(0, "info", "large", {"text": "x" * 100_000})
    lines.write(0, "info", "odd", {"when": datetime.date(2026, 1, 2), 3: {1, 2}})
    lines.write(0, "info", "broken", {"text": "\ud800"})
    found = [(event, fields) for _, _, event, fields in lines.waiting]
    assert found[0] == ("the ***", {"api_key": "***", "url": "http://u:***@h", "abc": "abc"})
    assert len(found[1][1]["truncated"]) < 10_000
    assert found[2][1]["when"] == "2026-01-02"
    assert found[3][1] == {"unprintable": "TypeError"}


@pytest.mark.parametrize("returned", [{"n": "many"}, {"n": 1, "m": 2}, {"n": 1, "ratio": float("nan")}, None, object()])
def test_an_output_of_another_form_is_a_failure(returned: Any) -> None:
    outcome = outcomes.of_output(TYPE, returned)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("invalid_output", False)


def test_an_output_changed_after_it_was_checked_is_checked_again() -> None:
    result = Result(n=1)
    result.n = "many"  # type: ignore[assignment]
    assert outcomes.of_output(TYPE, result).error is not None
    assert outcomes.of_output(TYPE, Result(n=1)).output == b'{"n":1,"ratio":0.0}'


def test_an_error_carries_its_text_its_detail_and_its_field() -> None:
    outcome = outcomes.of_exception(TYPE, TaskError("test_retryable", "why", field="n", attempt=3), "en")
    assert outcome.error == {
        "code": "test_retryable",
        "message": "Attempt 3 failed on purpose.",
        "retryable": True,
        "details": {"detail": "why", "field": "n"},
    }
    unfilled = outcomes.of_exception(TYPE, TaskError("test_retryable", retryable=False), "ko")
    assert unfilled.error is not None
    assert (unfilled.error["message"], unfilled.error["retryable"]) == (
        "{attempt}번째 시도를 일부러 실패했습니다.",
        False,
    )
    unknown = outcomes.of_exception(TYPE, TaskError("bare"), "en")
    assert unknown.error == {"code": "bare", "message": "bare", "retryable": False}


def test_a_state_conflict_that_a_task_lets_pass_may_be_tried_again() -> None:
    error = outcomes.of_exception(TYPE, StateConflict(), "en").error
    assert error is not None
    assert (error["code"], error["retryable"]) == ("state_conflict", True)


def test_an_outcome_says_one_thing() -> None:
    assert outcomes.CANCELLED.members() == {"cancelled": True}
    assert outcomes.CANCELLED.as_json()["error"]["code"] == "cancelled"
    assert orjson.dumps(outcomes.Outcome(output=b'{"n":1}').members()) == b'{"output":{"n":1}}'
