"""What must hold after the faults, whatever they were. Pure: a book in, findings out."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from chaos import limits
from chaos.book import Book, Claim, Run, Task
from chaos.load import Start
from chaos.workflows import CHILD, MENDED, WORKFLOWS, given, made
from worker_service.effects import CLAIM_EXPIRES_S

_ENDED_RUN = {"SUCCESS", "FAILED", "CANCELLED"}
_ENDED_TASK = {*_ENDED_RUN, "SKIPPED", "UPSTREAM_FAILED"}


@dataclass
class Findings:
    """One sentence for each thing that is not as promised. `over`: a limit that was not kept; `other`: what is wrong
    without any of these."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.stuck or self.over or self.other)

    def __str__(self) -> str:
        said = {
            "lost": self.lost, "doubled": self.doubled, "stuck": self.stuck, "over": self.over, "wrong": self.other,
        }  # fmt: skip
        return "\n".join(f"{name}: {text}" for name, texts in said.items() for text in texts)


def audit(book: Book) -> Findings:
    findings = Findings()
    _audit_starts(book, findings)
    by_run = {run_id: start for start in book.starts for run_id in start.answers}
    for run in book.runs.values():
        _audit_run(run, by_run.get(run.run_id if run.parent is None else _above(run.parent)), book, findings)
    _audit_children(book, findings)
    _audit_effects(book, findings)
    findings.doubled += [f"ended, and changed afterwards: {text}" for text in book.changed]
    findings.other += [f"an event was set aside: {text}" for text in book.buried]
    findings.over += limits.levels(book)[1]
    findings.lost += [f"the payload {reference} is not there" for reference in book.payloads.missing]
    findings.stuck += [f"nothing goes on, and there is still: {text}" for text in book.kept]
    if book.unpublished:
        findings.stuck.append(f"{book.unpublished} domain events are not published")
    return findings


# --- starts and runs --------------------------------------------------------------------------------------------------


def _audit_starts(book: Book, findings: Findings) -> None:
    by_key: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    by_number: dict[tuple[str, int], list[str]] = defaultdict(list)
    asked = {(start.input["key"], start.rerun_of): start for start in book.starts}
    for run in book.runs.values():
        by_number[run.workflow, run.number].append(run.run_id)
        if run.parent is not None:
            continue
        key = (run.input.get("key", ""), run.rerun_of)
        by_key[key].append(run.run_id)
        if key not in asked or (asked[key].input, asked[key].workflow) != (run.input, run.workflow):
            findings.doubled.append(f"{run.run_id} ({run.workflow}) was begun with {run.input}: nobody asked for that")
    for start in book.starts:
        for run_id in start.answers:
            found = book.runs.get(run_id)
            if found is None:
                findings.lost.append(f"{run_id} was accepted ({start.key}) and is unknown")
            elif book.shown.get(run_id) != found.state:
                findings.lost.append(f"{run_id} is {found.state}; the gateway shows {book.shown.get(run_id)}")
        if len(found_ids := {*start.answers, *by_key[start.input["key"], start.rerun_of]}) > 1:
            findings.doubled.append(f"{start.key} started {len(found_ids)} runs: {', '.join(sorted(found_ids))}")
        if start.refused is not None:
            findings.other.append(f"{start.key} was refused: {start.refused}")
        elif not start.answers:
            findings.stuck.append(f"{start.key} was asked {start.tries} times and never answered")
        findings.stuck += [f"{start.key}: nobody answered {deed}" for deed in start.done.left]
    for (workflow, number), run_ids in by_number.items():
        if len(run_ids) > 1:
            findings.doubled.append(f"{workflow} has {len(run_ids)} runs of number {number}: {', '.join(run_ids)}")


def _audit_run(run: Run, start: Start | None, book: Book, findings: Findings) -> None:
    """`start`: the one that began it, or the run that waits for it; None when that was never answered."""
    if run.state not in _ENDED_RUN:
        findings.stuck.append(f"{run.run_id} ({run.workflow}) is {run.state}: {_open_tasks(run)}")
        return
    if still := _open_tasks(run):
        findings.stuck.append(f"{run.run_id} is {run.state}, yet {still}")
    if wrong := _wrong_end(run, start):
        findings.other.append(f"{run.run_id} ({run.workflow}) {wrong}")
    outputs = {key: task.output for key, task in run.tasks.items() if task.output is not None}
    for placement in WORKFLOWS[run.workflow]:
        task = run.tasks.get(placement["key"])
        if task is None:
            findings.lost.append(f"{run.run_id} is {run.state}, yet nothing is known of its task {placement['key']}")
            continue
        _audit_recorded(task, book, findings)
        for item in task.items.values():
            _audit_recorded(item, book, findings)
        if task.state == "SUCCESS" and task.attempt == 0:
            _audit_reused(task, run, book, findings)
        elif task.state == "SUCCESS":
            _audit_success(task, placement, run, start, outputs, findings)
        elif run.state == "SUCCESS":
            findings.lost.append(f"{run.run_id} is SUCCESS, yet {task.key} is {task.state}")


def _above(parent: str) -> str:
    """The run of `<run>-<index>.<attempt>`."""
    return parent.rpartition("-")[0]


def _wrong_end(run: Run, start: Start | None) -> str | None:
    """Why a run may not have ended as it did."""
    done = start.done if start is not None else None
    if done is not None and done.cancelled and run.parent is None:
        return None if run.state == "CANCELLED" else f"was cancelled and is {run.state}"
    usual = "FAILED" if run.workflow in MENDED and run.rerun_of is None else "SUCCESS"
    if run.state == usual:
        return None
    if run.state == "CANCELLED" and ((done is not None and done.asked) or run.workflow == "replaced"):
        return None
    if run.state == "CANCELLED" and run.workflow == "skipped" and run.code == "concurrency_skipped":
        return None
    return f"is {run.state} ({run.code})"


def _open_tasks(run: Run) -> str:
    tasks = [one for task in run.tasks.values() for one in (task, *task.items.values())]
    return ", ".join(f"{one.task_run_id} {one.key} {one.state}" for one in tasks if one.state not in _ENDED_TASK)


def _audit_recorded(task: Task, book: Book, findings: Findings) -> None:
    """An output is recorded once, and of what succeeded alone."""
    count = book.written[task.task_run_id]
    if task.state != "SUCCESS":
        if task.output is not None or count:
            findings.doubled.append(f"{task.task_run_id} is {task.state} and has an output")
    elif count > 1:
        findings.doubled.append(f"{task.task_run_id}: its output was recorded {count} times")
    elif count == 0:
        findings.lost.append(f"{task.task_run_id} is SUCCESS, yet nobody saw its output recorded")


def _audit_reused(task: Task, run: Run, book: Book, findings: Findings) -> None:
    """What did not run again has the output that it had."""
    before = book.runs.get(run.rerun_of or "")
    if before is None or task.key not in before.tasks:
        findings.doubled.append(f"{task.task_run_id} is SUCCESS without an attempt")
    elif before.tasks[task.key].output != task.output:
        findings.doubled.append(f"{task.task_run_id} took over {task.output} from {before.tasks[task.key].output}")


def _audit_success(
    task: Task,
    placement: dict[str, Any],
    run: Run,
    start: Start | None,
    outputs: dict[str, Any],
    findings: Findings,
) -> None:
    if task.output is None or task.input is None:
        findings.lost.append(f"{task.task_run_id} is SUCCESS without its input or output")
        return
    try:
        if "for_each" in placement:
            _audit_list(task, placement, run, outputs, findings)
            return
        _audit_given(task, given(placement["parameters"], run.input, outputs), findings)
    except (KeyError, TypeError) as missing:
        findings.lost.append(f"{task.task_run_id} was given what is not there: {missing!r}")
        return
    if task.type.startswith("test."):
        _audit_made(task, task.input, findings)
    elif task.type != "workflow.run":
        _audit_answer(task, run, start, findings)
    if set(task.failed) != set(range(1, task.attempt)):
        findings.lost.append(f"{task.task_run_id} succeeded at attempt {task.attempt}; kept: {sorted(task.failed)}")


def _audit_given(task: Task, expected: dict[str, Any], findings: Findings) -> None:
    if isinstance(workflow := expected.get("workflow_id"), str) and workflow.startswith("@"):
        expected = {**expected, "workflow_id": task.input["workflow_id"]}
    if task.input != expected:
        said = f"{task.input!r:.300}, the outputs before it say {expected!r:.300}"
        findings.doubled.append(f"{task.task_run_id} was given {said}")


def _audit_made(task: Task, parameters: dict[str, Any], findings: Findings) -> None:
    if task.output != (right := made(task.type, parameters, task.attempt)):
        findings.doubled.append(f"{task.task_run_id} gave {task.output!r:.300} instead of {right!r:.300}")
    if task.attempt <= parameters.get("fails", 0):
        findings.doubled.append(f"{task.task_run_id} succeeded at attempt {task.attempt}, which fails")


def _audit_list(task: Task, placement: dict[str, Any], run: Run, outputs: dict[str, Any], findings: Findings) -> None:
    """Every item ran for its own value, and the output is theirs in order."""
    values = given(placement["for_each"], run.input, outputs)
    if task.input != values:
        findings.doubled.append(f"{task.task_run_id} ran over {task.input!r:.300} instead of {values!r:.300}")
    if sorted(task.items) != list(range(len(values))):
        findings.lost.append(f"{task.task_run_id} is SUCCESS with {len(task.items)} of its {len(values)} items")
        return
    for place, value in enumerate(values):
        item = task.items[place]
        if item.state != "SUCCESS" or item.output is None:
            findings.lost.append(f"{task.task_run_id} is SUCCESS, yet {item.task_run_id} is {item.state}")
        elif item.attempt == 0 and run.rerun_of is not None:
            # the list's own check below says whether it is what its value gives
            continue
        else:
            _audit_made(item, given(placement["parameters"], run.input, outputs, value), findings)
            if set(item.failed) != set(range(1, item.attempt)):
                findings.lost.append(f"{item.task_run_id} succeeded at {item.attempt}; kept: {sorted(item.failed)}")
    right = [made(task.type, given(placement["parameters"], run.input, outputs, value), 1) for value in values]
    if task.output != right or task.output != [task.items[place].output for place in range(len(values))]:
        findings.doubled.append(f"{task.task_run_id} does not join what its items gave in their order")


def _audit_answer(task: Task, run: Run, start: Start | None, findings: Findings) -> None:
    """What a person, an event or time said: as it was said, and of several answers the one that was accepted."""
    said, output = (start.done.said.get(task.key, []) if start is not None else []), task.output
    if task.type.startswith("human."):
        if len(said) > 1 or (said and said != [output["comment"]]):
            findings.doubled.append(
                f"{task.task_run_id}: the answers of {said} were accepted, one is recorded: {output}"
            )
        right = (
            output.get("approved") is True
            if task.type == "human.approval"
            else output["values"] == {"n": run.input["n"]}
        )
    elif task.type == "wait.event":
        right = output["data"] == {"key": run.input["key"], "n": run.input["n"]}
    else:
        right = "waited_until" in output
    if not right:
        findings.doubled.append(f"{task.task_run_id} was answered {output}, which nobody said")


# --- runs that runs started -------------------------------------------------------------------------------------------


def _audit_children(book: Book, findings: Findings) -> None:
    """Each attempt that waits for a run started one, and has taken that one's output."""
    children: dict[str, list[Run]] = defaultdict(list)
    for run in book.runs.values():
        if run.parent is not None:
            children[run.parent].append(run)
    tasks = {task.task_run_id: (task, run) for run in book.runs.values() for task in run.tasks.values()}
    for parent, runs in children.items():
        if len(runs) > 1:
            findings.doubled.append(f"{parent} started {len(runs)} runs: {', '.join(run.run_id for run in runs)}")
        task, above = tasks.get(parent.rpartition(".")[0], (None, None))
        for run in runs:
            if task is None or above is None or task.type != "workflow.run" or run.workflow != CHILD:
                findings.doubled.append(f"{run.run_id} says that {parent} started it")
            elif task.input is not None and run.input != task.input["input"]:
                findings.doubled.append(f"{run.run_id} was begun with {run.input}; {parent} gave {task.input}")
            elif above.state == "CANCELLED" and run.state not in ("CANCELLED", "SUCCESS"):
                findings.stuck.append(f"{run.run_id} is {run.state}; {above.run_id}, which started it, was cancelled")
    for task, _ in tasks.values():
        if task.type == "workflow.run" and task.state == "SUCCESS":
            own = children.get(f"{task.task_run_id}.{task.attempt}", [])
            given_by = [run for run in own if run.run_id == (task.output or {}).get("run_id")]
            if not given_by or task.output["output"] != _last_outputs(given_by[0]):
                findings.lost.append(f"{task.task_run_id} has taken {task.output}; started: {own!r:.300}")


def _last_outputs(run: Run) -> dict[str, Any]:
    key = WORKFLOWS[run.workflow][-1]["key"]
    return {key: run.tasks[key].output if key in run.tasks else None}


# --- effects ----------------------------------------------------------------------------------------------------------


def _audit_effects(book: Book, findings: Findings) -> None:
    tasks = {t.task_run_id: t for run in book.runs.values() for t in run.tasks.values() if t.type == "test.effect"}
    for task_run_id, task in tasks.items():
        if task.state == "SUCCESS" and not book.effects[task_run_id]:
            findings.lost.append(f"{task_run_id} is SUCCESS, yet its effect did not happen")
    for task_run_id, times in book.effects.items():
        claims = book.claims.get(task_run_id, [])
        if task_run_id not in tasks:
            findings.other.append(f"{task_run_id}: an effect of a task that nobody knows")
        elif wrong := unlawful(claims):
            findings.doubled.append(f"{task_run_id}: {wrong}")
        elif times > len(taken := holders(claims)):
            findings.doubled.append(f"{task_run_id}: {times} effects, and the ledger knows {len(taken)} claims")


def holders(claims: list[Claim]) -> list[str]:
    """Who held the effect, one after the other: each may have acted once."""
    taken: list[str] = []
    for claim in claims:
        if claim.state == "claimed" and (not taken or taken[-1] != claim.holder):
            taken.append(claim.holder)
    return taken


def unlawful(claims: list[Claim]) -> str | None:
    """Why a claim changed hands although it was held; None when each was let go or not renewed for long enough."""
    held: Claim | None = None
    for claim in claims:
        if held is not None and held.state == "done":
            return f"{claim.holder} wrote after the effect was recorded"
        if held is not None and held.state == "claimed" and claim.state == "claimed" and claim.holder != held.holder:
            age_s = (claim.claimed_at - held.claimed_at) / 1e6
            if age_s < CLAIM_EXPIRES_S:
                return f"{claim.holder} took what {held.holder} had claimed {age_s:.1f} s before"
        held = claim
    return None


def repeated(book: Book) -> int:
    """Effects that happened again, which the ledger explains."""
    return sum(times - 1 for times in book.effects.values() if times > 1)


def failures(book: Book) -> "Counter[str]":
    """Why attempts failed, by code, the last one of a failed task included."""
    found: Counter[str] = Counter()
    for run in book.runs.values():
        for task in (one for top in run.tasks.values() for one in (top, *top.items.values())):
            found.update(task.failed.values())
            if task.code is not None:
                found[task.code] += 1
    return found
