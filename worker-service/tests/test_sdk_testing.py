"""The helper for writers of task types runs them as a worker does: held against the types of the worker's own tests."""

import asyncio
from pathlib import Path

import orjson
import pytest

from worker_service.sdk import testing


def test_an_output_lines_and_what_was_stored_come_back() -> None:
    shelf = {"blog": {"kind": "wordpress", "credentials": {"user": "u", "password": "geheim"}}}
    ran = testing.run("test.use", {"connection": "blog"}, connections=shelf, artifacts={"in.txt": b"before"})
    assert ran.output is not None
    assert ran.output["seen"]["credentials"] == ["password", "user"]
    assert ran.error is None
    assert [(line.level, line.event) for line in ran.lines] == [("info", "begun"), ("warning", "opened")]
    assert "geheim" not in str(ran.lines)
    assert ran.artifacts == {"in.txt": b"before", "seen/hello.txt": b"hello"}
    assert list(ran.state.values()) == [{"n": 1}]
    assert ran.note == {"at": "work"}


def test_a_type_of_isolation_process_runs_in_one() -> None:
    first, second = (testing.run("test.compute") for _ in range(2))
    assert first.output is not None
    assert first.output == second.output  # the process was used again
    assert testing.run("test.use_process").output is not None


@pytest.mark.parametrize("name", ["test.use", "test.use_process"])
def test_a_large_output_comes_back_whole(name: str) -> None:
    ran = testing.run(name, {"bytes": 300_000})
    assert ran.output is not None
    assert len(ran.output["seen"]["filler"]) == 300_000


def test_failures_are_those_that_a_run_would_show() -> None:
    assert testing.run("test.increment", {"n": "many"}).error == {
        "code": "invalid_parameters",
        "message": "The parameter 'n' is wrong: This must be a whole number.",
        "retryable": False,
        "details": {"field": "n", "errors": [{"field": "n", "reason": "This must be a whole number."}]},
    }
    failed = testing.run("test.fail", language="ko").error
    assert failed == {"code": "test_retryable", "message": "1번째 시도를 일부러 실패했습니다.", "retryable": True}


@pytest.mark.parametrize("name", ["test.use", "test.use_process"])
def test_a_bug_comes_back_with_its_traceback(name: str) -> None:
    ran = testing.run(name, {"crash": True})
    assert ran.error is not None
    assert ran.error["code"] == "internal"
    assert "RuntimeError: the text of a bug" in ran.raised
    assert "the text of a bug" in repr(ran)
    assert ran.events[-1] == "task_crashed"


def test_the_next_attempt_finds_what_the_one_before_left(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    first = testing.run("test.effect", {"path": str(trace), "n": 7})
    again = testing.run("test.effect", {"path": str(trace), "n": 7}, again=first)
    assert again.ids.attempt == 2
    assert again.output == first.output == {"n": 7}
    # it was done: the ledger answered
    assert [orjson.loads(line)["attempt"] for line in trace.read_text().splitlines()] == [1]
    assert testing.run("test.fail", again=testing.run("test.fail")).output == {"attempt": 2}


def test_a_task_is_cancelled_at_the_line_that_was_named() -> None:
    ran = testing.run("test.use", {"stubborn": True}, cancel_on="opened", connections={"c": {}}, timeout_s=0.2)
    assert ran.error is not None  # it wrote no such line
    assert ran.error["code"] == "timeout"
    ran = testing.run("test.log", {"lines": 3, "seconds": 600}, cancel_on="said")
    assert (ran.cancelled, ran.output, ran.error, ran.events) == (True, None, None, ["said"])


def test_an_async_test_may_use_it_too() -> None:
    async def test() -> testing.Ran:
        return await asyncio.to_thread(testing.run, "test.increment", {"n": 1})

    assert asyncio.run(test()).output == {"n": 2}


def test_texts_that_lack_are_named_and_unknown_types_refused() -> None:
    assert testing.missing_texts("test.fail") == []
    with pytest.raises(LookupError, match=r"there is no task type 'no\.such'; known: .*test\.increment"):
        testing.run("no.such")
