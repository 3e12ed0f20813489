"""The audit after the faults bites: whatever is not as promised is noticed, and what is, is not complained of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.audit import Findings, audit, repeated
from chaos.book import Book, Claim, Payloads, Place, Run, Span, Task
from chaos.deeds import Done
from chaos.limits import levels, lingered
from chaos.load import Start
from chaos.workflows import KEY_LIMIT, MENDED, PARALLEL, WORKFLOWS, given, made

T0 = 1_700_000_000_000_000


def ask(workflow: str) -> Start:
    key = f"key-{workflow}"
    items = [{"n": n, "seconds": 0, "fails": int(n == 5), "needs": None} for n in range(12)]
    if workflow == "gap":
        items[3]["needs"] = key
    asked: dict[str, Any] = {"n": 7, "seconds": 0.5, "key": key, "site": 0, "list": items}
    return Start(key, workflow, asked, False, None)


def lawful() -> Book:
    """One run of each workflow and what follows from it, as it must be."""
    book = Book()
    for workflow in WORKFLOWS:
        start = ask(workflow)
        book.starts.append(start)
        first = run_of(book, start, f"run-{workflow}")
        if workflow in MENDED:
            again = replace(start, key=f"{start.key}-again", rerun_of=first.run_id, answers=set(), done=Done())
            book.starts.append(again)
            run_of(book, again, f"again-{workflow}")
        if workflow == "parent":
            child = {"n": 8, "key": start.key}
            run_of(book, replace(start, workflow="chain", input=child, answers=set()), "child", "run-parent-1.1")
    return book


def run_of(book: Book, start: Start, run_id: str, parent: str | None = None) -> Run:
    fails = start.workflow in MENDED and start.rerun_of is None
    state, number = "FAILED" if fails else "SUCCESS", len(book.runs) + 1
    run = Run(run_id, start.workflow, number, state, start.input, T0, T0 + 1, {}, None, parent, start.rerun_of)
    start.answers.add(run_id)
    outputs: dict[str, Any] = {}
    for index, placement in enumerate(WORKFLOWS[start.workflow]):
        task = task_of(book, run, f"{run_id}-{index}", placement, outputs, start)
        run.tasks[placement["key"]] = task
        if task.output is not None:
            outputs[placement["key"]] = task.output
            book.written[task.task_run_id] = 1
    book.runs[run_id], book.shown[run_id] = run, state
    return run


def task_of(book: Book, run: Run, task_run_id: str, placement: Any, outputs: dict[str, Any], start: Start) -> Task:
    key, type = placement["key"], placement["type"]
    old = book.runs[run.rerun_of].tasks[key] if run.rerun_of else None
    if run.workflow == "broken" and old is None and key != "before":
        state = "FAILED" if key == "span" else "UPSTREAM_FAILED"
        return Task(task_run_id, key, type, state, 1, T0, "test_fatal", {}, None, None)
    if old is not None and old.state == "SUCCESS":
        return replace(old, task_run_id=task_run_id, attempt=0, failed={}, input=None)
    if "for_each" in placement:
        return list_of(book, run, task_run_id, placement)
    attempt = 3 if type == "test.fail" else 1
    parameters = given(placement["parameters"], run.input, outputs)
    if type == "test.span":
        book.spans.append(Span(task_run_id, attempt, T0, T0 + 10))
        book.over[task_run_id, attempt] = T0 + 20
    if type == "test.effect":
        book.effects[task_run_id] = 1
        book.claims[task_run_id] = [claimed("a", 0), Claim("done", "a", T0 + 500_000)]
    if type.startswith("human."):
        start.done.said[key] = ["person 0"]
    output = answered(type, run) if not type.startswith("test.") else made(type, parameters, attempt)
    failed = dict.fromkeys(range(1, attempt), "test_retryable")
    return Task(task_run_id, key, type, "SUCCESS", attempt, T0 + 1, None, failed, parameters, output)


def answered(type: str, run: Run) -> dict[str, Any]:
    return {
        "human.approval": {"approved": True, "comment": "person 0"},
        "human.form": {"values": {"n": 7}, "comment": "person 0"},
        "wait.event": {"data": {"key": run.input["key"], "n": 7}},
        "wait.time": {"waited_until": "2026-01-01T00:00:00.000Z"},
        "workflow.run": {"run_id": "child", "output": {"t7": {"n": 16}}},
    }[type]


def list_of(book: Book, run: Run, task_run_id: str, placement: Any) -> Task:
    """Those items that succeeded before are taken over; the one that lacks something fails the first time."""
    old = book.runs[run.rerun_of].tasks[placement["key"]].items if run.rerun_of else {}
    items = {}
    for place, value in enumerate(run.input["list"]):
        parameters = given(placement["parameters"], run.input, {}, value)
        identity, attempt = f"{run.run_id}-{(place + 1) * 100_000}", 1 + value["fails"]
        output, failed = made("test.span", parameters, attempt), dict.fromkeys(range(1, attempt), "test_retryable")
        item = Task(identity, placement["key"], "test.span", "SUCCESS", attempt, T0, None, failed, None, output)
        if place in old and old[place].state == "SUCCESS":
            item = replace(old[place], task_run_id=identity, attempt=0, failed={})
        elif value["needs"] and not run.rerun_of:
            item = replace(item, state="FAILED", output=None, code="test_fatal")
        if item.output is not None:
            book.written[identity] = 1
        if item.attempt:
            book.spans.append(Span(identity, attempt, T0 + place * 100, T0 + place * 100 + 50))
        items[place] = item
    whole = [item.output for item in items.values()]
    right = all(output is not None for output in whole)
    return Task(
        task_run_id, placement["key"], "test.span", "SUCCESS" if right else "FAILED", 1, T0, None, {},
        run.input["list"], whole if right else None, items,
    )  # fmt: skip


def claimed(holder: str, at_s: float) -> Claim:
    return Claim("claimed", holder, T0 + int(at_s * 1e6))


EFFECT = "run-effect-1"


def twice(book: Book, *claims: Claim) -> None:
    """The effect happened twice, and this is what the ledger knows of it."""
    book.effects[EFFECT] = 2
    book.claims[EFFECT] = [*claims, Claim("done", "b", T0 + 60_000_000)]


def spoil_item(book: Book, **members: object) -> None:
    items = book.runs["run-list"].tasks["each"].items
    items[4] = replace(items[4], **members)  # type: ignore[arg-type]


def rejoin(book: Book) -> None:
    """The right outputs in the wrong order."""
    output = book.runs["run-list"].tasks["each"].output
    edit(book, "run-list", "each", output=[output[1], output[0], *output[2:]])


def deed(book: Book, workflow: str) -> Done:
    return next(start.done for start in book.starts if start.workflow == workflow)


def overlap(book: Book, ended_at: int | None = None, over: int | None = None) -> None:
    """One more than may run under a key: task runs that are not of this book's, but for their spans."""
    for number in range(KEY_LIMIT):
        run = replace(book.runs["run-keyed"], run_id=f"more-{number}", number=100 + number, parent=f"x-{number}.1")
        task = replace(run.tasks["span"], task_run_id=f"more-{number}-0")
        book.runs[run.run_id] = replace(run, tasks={"span": task})
        book.spans.append(Span(task.task_run_id, 1, T0 + 5, ended_at))
        if over is not None:
            book.over[task.task_run_id, 1] = over


def edit(book: Book, run_id: str, key: str | None = None, **members: object) -> None:
    run = book.runs[run_id]
    if key is None:
        book.runs[run_id] = replace(run, **members)  # type: ignore[arg-type]
    else:
        run.tasks[key] = replace(run.tasks[key], **members)  # type: ignore[arg-type]


def test_what_is_as_it_must_be_is_not_complained_of() -> None:
    book = lawful()
    assert not audit(book), str(audit(book))
    # a start that was never answered may have started its run, if only one
    assert repeated(book) == 0


def test_what_lingers_after_the_engine_let_it_go_holds_no_place() -> None:
    book = lawful()
    before = levels(book)
    assert before[1] == []
    # they went on after their time, one was killed and never said that it ended: over before the lawful one began
    book.over["run-keyed-0", 1] = book.over["run-both-0", 1] = T0 + 5
    overlap(book, ended_at=T0 + 60)
    assert levels(book)[1] == []
    assert lingered(book) == 2
    # a place that is given back is another's
    handed = [("a", True), ("b", True), ("a", False), ("c", True), ("b", False), ("d", True)]
    book.places += [Place(at, "o:key:site-0", who, KEY_LIMIT, held) for at, (who, held) in enumerate(handed)]
    found, over = levels(book)
    assert (over, found["key"].held) == ([], KEY_LIMIT)


@pytest.mark.parametrize(
    "claims",
    [
        # a killed worker's claim lapses, one that was let go may be taken at once
        [claimed("a", 0), claimed("a", 3), claimed("b", 15)],
        [claimed("a", 0), Claim("released", "a", T0), claimed("b", 1)],
    ],
)
def test_an_effect_that_the_ledger_explains_may_happen_again(claims: list[Claim]) -> None:
    book = lawful()
    twice(book, *claims)
    assert not audit(book), str(audit(book))
    assert repeated(book) == 1


LOST: list[Callable[[Book], object]] = [
    lambda book: book.runs.pop("run-chain"),
    lambda book: book.shown.pop("run-chain"),
    lambda book: book.shown.update({"run-chain": "RUNNING"}),
    lambda book: book.runs["run-fan"].tasks.pop("join"),
    lambda book: edit(book, "run-fan", "join", output=None),
    lambda book: edit(book, "run-fan", "join", state="FAILED", output=None),
    lambda book: edit(book, "run-retry", "fail", failed={1: "test_retryable"}),
    lambda book: book.effects.clear(),
    lambda book: book.written.pop("run-chain-0"),
    lambda book: book.runs["run-list"].tasks["each"].items.pop(3),
    lambda book: spoil_item(book, state="FAILED", output=None),
    lambda book: edit(book, "child", parent="run-parent-1.2"),
    lambda book: setattr(book, "payloads", Payloads(1, ("o/r/h.json",), 0)),
]
DOUBLED: list[Callable[[Book], object]] = [
    lambda book: book.written.update(["run-chain-0"]),
    lambda book: book.changed.append("run-chain: SUCCESS → FAILED"),
    lambda book: edit(book, "run-chain", "t3", output={"n": 5}),
    lambda book: edit(book, "run-sleep", "sleep", output={"slept": 2.0}),
    lambda book: book.starts[0].answers.add("run-fan"),
    lambda book: book.runs.update(second=replace(book.runs["run-chain"], run_id="second", number=2)),
    lambda book: edit(book, "run-effect", number=1, workflow="chain"),
    lambda book: edit(book, "run-retry", input={}),
    # no claim for the second line; a claim taken from somebody who renewed it; one written after the end
    lambda book: twice(book, claimed("b", 0)),
    lambda book: twice(book, claimed("a", 0), claimed("a", 6), claimed("b", 15)),
    lambda book: book.claims[EFFECT].append(claimed("b", 70)),
    # a list that is joined wrongly, an item made of another's value, one that ran and must not have succeeded
    rejoin,
    lambda book: spoil_item(book, output={"n": 5, "filler": "", "value": None}),
    lambda book: book.written.update([f"run-list-{100_000}"]),
    lambda book: (
        book.runs["run-list"]
        .tasks["each"]
        .items.update({5: replace(book.runs["run-list"].tasks["each"].items[5], attempt=1, failed={})})
    ),
    # two runs for one that waits, two answers to one question, one that nobody gave
    lambda book: book.runs.update(second=replace(book.runs["child"], run_id="second", number=99)),
    lambda book: deed(book, "person").said["approve"].append("person 1"),
    lambda book: deed(book, "person").said.update(form=["person 1"]),
    lambda book: edit(book, "run-event", "wait", output={"data": {"key": "another", "n": 7}}),
    # what did not run again has another output now; a second rerun for one key
    lambda book: edit(book, "again-broken", "before", output={"n": 0}),
    lambda book: book.runs.update(more=replace(book.runs["again-gap"], run_id="more", number=98)),
]
STUCK: list[Callable[[Book], object]] = [
    lambda book: edit(book, "run-chain", state="RUNNING", finished_at=None),
    lambda book: edit(book, "run-chain", "t3", state="RUNNING"),
    lambda book: book.starts[0].answers.clear(),
    lambda book: setattr(book, "unpublished", 1),
    lambda book: book.kept.append("queue:scarce run-scarce-0 taken"),
    lambda book: deed(book, "event").left.append("event"),
    lambda book: spoil_item(book, state="QUEUED"),
]
OVER: list[Callable[[Book], object]] = [
    overlap,
    # it is not over before the others began
    lambda book: overlap(book, over=T0 + 6),
    # more items at once than the list allows
    lambda book: book.spans.extend(Span(f"run-list-{n}00000", 1, T0, T0 + 9_000) for n in range(1, PARALLEL + 2)),
    lambda book: book.places.extend(Place(n, "queue:scarce", f"t{n}", 3, True) for n in range(4)),
    lambda book: book.places.extend(Place(n, "o:workflow:w", f"r{n}", 5, True) for n in range(2)),
]
WRONG: list[Callable[[Book], object]] = [
    lambda book: setattr(book.starts[0], "refused", "401"),
    lambda book: book.buried.append("run-chain: Finished: KeyError"),
    lambda book: book.effects.update(["nobody-0"]),
    lambda book: edit(book, "run-chain", state="FAILED"),
    lambda book: edit(book, "run-skipped", state="CANCELLED", code="run_timeout"),
    # who was told that the run is cancelled
    lambda book: setattr(deed(book, "queued"), "cancelled", True),
]


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        *((spoil, "lost") for spoil in LOST),
        *((spoil, "doubled") for spoil in DOUBLED),
        *((spoil, "stuck") for spoil in STUCK),
        *((spoil, "over") for spoil in OVER),
        *((spoil, "other") for spoil in WRONG),
    ],
)
def test_what_is_not_as_it_must_be_is_noticed(spoil: Callable[[Book], object], where: str) -> None:
    book = lawful()
    spoil(book)
    found: Findings = audit(book)
    assert getattr(found, where), f"noticed only: {found}"
