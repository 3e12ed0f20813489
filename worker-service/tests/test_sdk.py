"""What the decorator refuses, in words that say what to do instead; and where a task type's texts are looked for."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker_service import sdk
from worker_service.sdk import Context, ErrorCode, ProcessContext, TaskIds, TaskLog, WrongTaskType, task_type
from worker_service.settings import WorkerSettings


class Nothing(sdk.Parameters):
    pass


class Done(sdk.Output):
    pass


async def waits(ctx: Context, p: Nothing) -> Done:
    return Done()


def computes(ctx: ProcessContext, p: Nothing) -> Done:
    return Done()


def yields(ctx: ProcessContext, p: Nothing) -> Iterator[Done]:
    yield Done()


def takes_one(ctx: ProcessContext) -> Done:
    return Done()


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    before = sdk.registered()
    yield
    sdk.forget(sdk.registered().keys() - before.keys())


def declare(function: Callable[..., Any], name: str = "local.type", **said: Any) -> sdk.TaskType:
    task_type(name, **{"parameters": Nothing, "output": Done, **said})(function)
    return sdk.registered()[name]


def test_where_a_type_runs_follows_from_its_function() -> None:
    assert declare(waits, "local.waits").isolation == "loop"
    assert declare(computes, "local.computes").isolation == "process"
    assert declare(waits, "local.waits", isolation="loop").isolation == "loop"


@pytest.mark.parametrize(
    ("function", "said", "reason"),
    [
        (computes, {"isolation": "loop"}, "Make it `async def`, or leave isolation out"),
        (waits, {"isolation": "process"}, "Make it a `def`, or leave isolation out"),
        (waits, {"isolation": "thread"}, "not 'thread'"),
        (yields, {}, "returns its output once"),
        (takes_one, {}, r"must take \(ctx, parameters\)"),
        (Done, {}, "is a function"),
        (waits, {"parameters": dict}, "parameters is a pydantic model"),
        (waits, {"output": None}, "output is a pydantic model"),
        (waits, {"name": "Local Type"}, "no task type's name"),
        (waits, {"name": "x" * 101}, "no task type's name"),
        (waits, {"timeout_s": 0}, "timeout_s is more than 0"),
        (waits, {"heartbeat_s": 0.5}, "heartbeat_s is 1 or more"),
        (waits, {"queue": "Heavy Work"}, "no queue's name"),
        (waits, {"errors": ["not_found"]}, "no ErrorCode"),
        (waits, {"errors": [ErrorCode("Not Found")]}, "no ErrorCode"),
    ],
)
def test_what_could_not_run_as_declared_is_refused(
    function: Callable[..., Any], said: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WrongTaskType, match=reason):
        declare(function, **said)
    assert "local.type" not in sdk.registered()


def test_a_module_read_again_may_register_again_but_nobody_else() -> None:
    declare(waits)
    declare(waits)
    with pytest.raises(WrongTaskType, match=r"two task types are called 'local\.type'"):
        declare(computes)
    assert sdk.registered()["local.type"].function is waits


def test_a_type_that_its_module_does_not_register_cannot_be_loaded() -> None:
    with pytest.raises(LookupError, match=r"importing json does not register the task type 'local\.none'"):
        sdk.load("json", "local.none")


@pytest.mark.parametrize("kind", [Context, ProcessContext])
def test_both_contexts_tell_of_progress_and_of_being_alive(kind: Any) -> None:
    said: list[Any] = []
    ids = TaskIds("t", "r", "o", "w", "k", 1, "")
    ctx = kind(ids, WorkerSettings(), TaskLog(lambda *_: None), None, said.append)
    ctx.progress(1 / 3, "x" * 600)
    ctx.progress(1.0000000001)
    ctx.heartbeat()
    assert said == [(0.3333, "x" * 500), (1.0, ""), None]
    for wrong in (40, -0.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            ctx.progress(wrong)


def test_texts_come_from_the_package_and_from_beside_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "told_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "messages.toml").write_text('[a]\nen = "of the package"\n[b]\nen = "of the package"\n')
    (package / "work.messages.toml").write_text('[b]\nen = "of the module"\n')
    (package / "inner" / "messages.toml").write_text('[c]\nen = "of the inner package"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert sdk.texts("told_package.work") == {"a": {"en": "of the package"}, "b": {"en": "of the module"}}
        assert sdk.texts("told_package")["a"] == {"en": "of the package"}
        assert sdk.texts("told_package.inner")["c"] == {"en": "of the inner package"}
        assert sdk.texts("no_such_package.work") == {}
    finally:
        sdk.texts.cache_clear()
        for name in [name for name in sys.modules if name.startswith("told_package")]:
            del sys.modules[name]
