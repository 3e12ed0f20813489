"""Every rule of the engine, as one pure function: `decide(run, event) -> Decision(changes, commands)`.

It reads the run and returns whole new values; the shell applies them in memory and writes them in one transaction.
Its cost is O(changes). It never raises for what peers or people send: a stale or repeated event gives no changes, only
the commands that are still outstanding. `PayloadsNeeded` asks the shell to load inputs or outputs and decide again.
"""

import zlib
from dataclasses import replace
from itertools import islice

import orjson

from execution_service.domain.draft import REMIND_AFTER, Decision, Draft
from execution_service.domain.events import (
    Admit,
    Begin,
    Cancel,
    Dispatch,
    Event,
    Finished,
    Grant,
    Pause,
    Poisoned,
    Refuse,
    Remind,
    Resume,
    Started,
    Tick,
    Withdraw,
)
from execution_service.domain.run import (
    RUN,
    Claim,
    Failure,
    Run,
    RunState,
    Slot,
    TaskRun,
    TaskState,
)
from execution_service.domain.waits import Kind, instant
from kit.payloads import PAYLOAD_LIMIT, Stored

CANCEL_GRACE = 8_000_000
"""Microseconds that running tasks get to end after a cancel; then the run ends without them."""
DEADLINE_GRACE = 15_000_000
"""Added to an attempt's time-out: the worker enforces it first, the engine only when the worker is gone."""
DEFAULT_TIMEOUT_S = 3600.0
REMIND_AT_MOST = 30_000_000
"""Microseconds between two such reminders, at most."""
REMIND_FEW = 8
"""Commands that a repeated result brings back. Time brings back all; were each repetition to do so, the 500 open items
of a list whose results are repeated would be sent 250,000 times."""


def decide(run: Run, event: Event) -> Decision:
    """What `event` does to `run`. Raises only PayloadsNeeded (load them, decide again) or a bug."""
    draft = Draft(run, max(event.at, run.head.clock))
    if run.head.state.terminal:
        return draft.decision()
    match event:
        case Begin():
            _begin(draft, event)
        case Started():
            _started(draft, event)
        case Finished():
            _finished(draft, event)
        case Tick():
            _tick(draft)
        case Cancel():
            _cancel(draft)
        case Pause():
            if draft.head.state is RunState.RUNNING:
                draft.head = replace(draft.head, state=RunState.PAUSED)
        case Resume():
            _resume(draft)
        case Grant():
            _granted(draft, event)
        case Refuse():
            if draft.held_back(RUN):
                _abandon(draft, RunState.CANCELLED, Failure("concurrency_skipped"))
        case Remind():
            _remind(draft, lost=event.lost)
        case Poisoned():  # pragma: no branch  # the last of all kinds
            _abandon(draft, RunState.FAILED, Failure("internal", event.reason))
    return draft.decision()


# --- the rules -------------------------------------------------------------------------------------------------------


def _begin(draft: Draft, event: Begin) -> None:
    limit = draft.run.plan.definition.concurrency
    if draft.head.state is not RunState.PENDING or draft.held_back(RUN):
        _remind(draft, lost=False)
        return
    if limit is None or event.at_once:
        draft.head = replace(draft.head, state=RunState.RUNNING, started_at=draft.now)
    else:
        draft.head = replace(draft.head)  # that it was accepted is a change
        scope = f"{draft.run.facts.organization_id}:workflow:{draft.run.plan.definition.workflow_id}"
        draft.claim(RUN, Claim((Slot(scope, limit.limit, limit.overflow),)))
    for index, output in event.reused.items():
        draft.record(index, output)
        draft.end(index, TaskRun(TaskState.SUCCESS, finished_at=draft.now))
    for index in event.skipped:
        draft.end(index, TaskRun(TaskState.SKIPPED, finished_at=draft.now))
    for index, output in event.reused_items.items():
        draft.record(index, output)
        draft.set(index, TaskRun(TaskState.SUCCESS, finished_at=draft.now))
    draft.open_stages()


def _granted(draft: Draft, event: Grant) -> None:
    """A place that is not wanted any more was given back by the commit that ended the wish."""
    if not draft.held_back(event.index) or draft.head.state is RunState.CANCELLING:
        return
    if event.index == RUN:
        draft.claim(RUN, Claim(taken=True))
        draft.head = replace(draft.head, state=RunState.RUNNING, started_at=draft.now)
        draft.open_stages()
    elif (task := draft.task(event.index)).attempt == event.attempt:
        draft.claim(event.index, Claim(taken=True))
        draft.set(event.index, replace(task, due_at=draft.patience(event.index, task)))
        draft.commands.append(Dispatch(event.index, task.attempt))


def _started(draft: Draft, event: Started) -> None:
    if not draft.run.has(event.index) or event.index in draft.run.groups:
        return
    task = draft.task(event.index)
    if task.attempt != event.attempt or task.state not in (TaskState.QUEUED, TaskState.RUNNING):
        if task.attempt > event.attempt or task.state is TaskState.CANCELLED:
            draft.commands.append(Withdraw(event.index, event.attempt))
        return
    if task.state is TaskState.RUNNING and event.delivery <= task.delivery:
        return
    timeout_s = draft.run.plan.step(event.index).spec.timeout_s or event.timeout_s or DEFAULT_TIMEOUT_S
    draft.set(
        event.index,
        replace(
            task,
            state=TaskState.RUNNING,
            started_at=draft.within(task.queued_at, event.started_at),
            due_at=draft.now + int(timeout_s * 1_000_000) + DEADLINE_GRACE,
            delivery=event.delivery,
            worker=event.worker,
        ),
    )


def _finished(draft: Draft, event: Finished) -> None:
    if not draft.run.has(event.index):
        return
    task = draft.task(event.index)
    if task.attempt != event.attempt or task.state not in _OUT or event.index in draft.run.groups:
        # fencing: a stale attempt's result, or one that is known already, only brings back what is outstanding
        _remind(draft, lost=False, most=REMIND_FEW)
        return
    draft.changes.log_lines = event.log_lines
    started_at = draft.within(task.queued_at, event.started_at or task.started_at)
    ended = replace(
        task,
        started_at=started_at,
        finished_at=draft.within(started_at, event.finished_at),
        due_at=None,
        delivery=event.delivery,
        worker=event.worker,
        failure=None,
    )
    if event.cancelled and draft.head.state is RunState.CANCELLING:
        draft.end(event.index, replace(ended, state=TaskState.CANCELLED))
    elif (output := event.stored or event.output) is not None and _size(output) <= PAYLOAD_LIMIT:
        draft.record(event.index, output)
        draft.end(event.index, replace(ended, state=TaskState.SUCCESS))
    else:
        _attempt_failed(draft, event.index, ended, _failure_of(event))
    draft.settle()


_OUT = frozenset({TaskState.QUEUED, TaskState.RUNNING, TaskState.WAITING})
"""Somebody else has it: a worker, the broker, or whoever is waited for."""


def _size(output: bytes | Stored) -> int:
    return output.size if isinstance(output, Stored) else len(output)


def _failure_of(event: Finished) -> Failure:
    if (output := event.stored or event.output) is not None:
        return Failure("output_too_large", f"{_size(output)} > {PAYLOAD_LIMIT}")
    if event.cancelled:
        return Failure("cancelled")
    return event.failure or Failure("internal")


def _attempt_failed(draft: Draft, index: int, ended: TaskRun, failure: Failure) -> None:
    """Tries again later when the error and the retry rule allow it, else the task has failed."""
    retry = draft.run.plan.step(index).spec.retry
    ended = replace(ended, state=TaskState.FAILED, failure=failure)
    if draft.head.state is RunState.CANCELLING:
        draft.end(index, replace(ended, state=TaskState.CANCELLED))
    elif failure.retryable and ended.attempt < retry.max_attempts:
        # no randomness in here: where in the jitter a wait falls follows from the attempt's identity
        draw = zlib.crc32(f"{draft.run.task_run_id(index)}.{ended.attempt}".encode()) / 2**32
        draft.changes.attempts.append((index, ended))
        draft.release(index)
        due_at = draft.now + retry.delay_micros(ended.attempt, draw)
        draft.set(index, replace(ended, state=TaskState.RETRY_WAIT, due_at=due_at, finished_at=None))
    else:
        draft.end(index, ended)


def _tick(draft: Draft) -> None:
    head, now = draft.head, draft.now
    if head.state is RunState.CANCELLING:
        if min(head.cancel_due or head.deadline, head.deadline) <= now:
            _abandon(draft, RunState.CANCELLED, None)
        return
    if head.deadline <= now:
        _abandon(draft, RunState.FAILED, Failure("run_timeout"))
        return
    for index in draft.run.due(now):
        task = draft.task(index)
        if task.state is TaskState.RETRY_WAIT and head.state is RunState.PAUSED:
            draft.set(index, replace(task, due_at=None))
        elif task.state is TaskState.RETRY_WAIT:
            draft.queue_again(index)
        elif task.state is TaskState.WAITING:
            _waited(draft, index, task)
        elif task.state is TaskState.QUEUED:
            _queued_long(draft, index, task)
        else:
            draft.withdraw(index, task)
            ended = replace(task, finished_at=now, due_at=None)
            _attempt_failed(draft, index, ended, Failure("timeout", retryable=True))
    draft.settle()


def _waited(draft: Draft, index: int, task: TaskRun) -> None:
    """A wait's time is over: that was the wish, or nobody answered."""
    ended = replace(task, finished_at=draft.now, due_at=None)
    if draft.run.plan.step(index).kind is Kind.TIME:
        draft.changes.outputs[index] = orjson.dumps({"waited_until": instant(draft.now)})
        draft.end(index, replace(ended, state=TaskState.SUCCESS))
    else:
        draft.withdraw(index, task)
        _attempt_failed(draft, index, ended, Failure("wait_timeout", retryable=True))


def _queued_long(draft: Draft, index: int, task: TaskRun) -> None:
    """No worker has taken it: it is handed out again, unless it was to wait no longer."""
    waited = draft.now - (task.queued_at or draft.now)
    patience = int(draft.run.plan.step(index).spec.queue_timeout_s * 1_000_000)
    if 0 < patience <= waited:
        draft.withdraw(index, task)
        _attempt_failed(draft, index, replace(task, finished_at=draft.now, due_at=None), Failure("queue_timeout"))
        return
    again = min(max(waited, REMIND_AFTER), REMIND_AT_MOST)
    draft.set(index, replace(task, due_at=draft.now + (min(again, patience - waited) if patience else again)))
    draft.commands.append(Dispatch(index, task.attempt))


def _cancel(draft: Draft) -> None:
    if draft.head.state is RunState.CANCELLING:
        _remind(draft, lost=False)
        return
    draft.head = replace(
        draft.head,
        state=RunState.CANCELLING,
        started_at=draft.head.started_at or draft.now,
        cancel_due=draft.now + CANCEL_GRACE,
    )
    for index, task in draft.run.everything():
        if task.state.terminal:
            continue
        draft.withdraw(index, task)
        if draft.group(index) is not None:
            draft.refill[index] = None
        elif task.state is not TaskState.RUNNING:
            draft.end(index, replace(task, state=TaskState.CANCELLED, finished_at=draft.now, due_at=None))
    draft.settle()


def _resume(draft: Draft) -> None:
    if draft.head.state is not RunState.PAUSED:
        return
    draft.head = replace(draft.head, state=RunState.RUNNING)
    for index, task in draft.run.everything():
        if task.state is TaskState.RETRY_WAIT and task.due_at is None:
            draft.queue_again(index)  # its time passed during the pause
    draft.refill.update(dict.fromkeys(draft.run.groups))
    draft.open_stages()


def _remind(draft: Draft, *, lost: bool, most: int | None = None) -> None:
    """Commands whose effect was not seen: what is queued; withdrawals while cancelling; what was running, if lost."""
    run = draft.run
    draft.commands.extend(
        Dispatch(index, run.task(index).attempt)
        for index in islice((index for index in sorted(run.queued) if index not in run.held_back), most)
    )
    if run.held_back:
        draft.commands.append(Admit())
    if lost or draft.head.state is RunState.CANCELLING:
        for index, task in run.everything():
            if task.state is TaskState.RUNNING and index not in run.groups:
                cancelling = draft.head.state is RunState.CANCELLING
                draft.commands.append((Withdraw if cancelling else Dispatch)(index, task.attempt))


def _abandon(draft: Draft, state: RunState, failure: Failure | None) -> None:
    """Ends the run now, without what is still open."""
    for index, task in draft.run.everything():
        if not task.state.terminal:
            draft.withdraw(index, task)
            draft.end(
                index,
                replace(task, state=TaskState.CANCELLED, finished_at=draft.now, due_at=None, failure=failure),
            )
    for stage in draft.run.plan.stages:
        if not draft.job(stage.index).state.terminal:
            draft.end_job(stage.index)  # it has no tasks, and its turn never came
    draft.ready.clear()
    draft.refill.clear()
    draft.finish(state, failure)
