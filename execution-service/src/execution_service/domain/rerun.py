"""Which tasks of an ended run a rerun runs again. The others' recorded outputs are reused."""

from collections.abc import Callable, Iterable

from execution_service.domain.plan import Plan
from execution_service.domain.run import Run, TaskState, items_of

_SETTLED = frozenset({TaskState.SUCCESS, TaskState.SKIPPED})


class EmptyRange(Exception):
    """The last task of a range is not ordered after its first."""


def tasks_to_run(run: Run, plan: Plan, *, failed: bool = False, from_task: str | None = None) -> set[int]:
    """Indexes in `plan` (the version the rerun uses) that run again: all, the failed ones, or a task and what follows.

    A task that reads the output of one that runs again runs again too, and so does one that neither succeeded nor was
    skipped. Raises KeyError for an unknown `from_task`.
    """
    settled = {run.plan.steps[index].spec.key for index, task in enumerate(run.tasks) if task.state in _SETTLED}
    again = {step.index for step in plan.steps if step.spec.key not in settled}
    if from_task is not None:
        again |= _following(plan, plan.by_key[from_task])
    elif not failed:
        return set(range(len(plan.steps)))
    for step in _in_order(plan):
        if again.intersection(plan.steps[step].reads):
            again.add(step)
    return again


def chosen_tasks(plan: Plan, keys: Iterable[str]) -> set[int]:
    """These tasks and no other. Raises KeyError for an unknown one."""
    return {plan.by_key[key] for key in keys}


def succeeded_items(run: Run, task: int, but: int | None = None) -> list[int]:
    """Indexes of a task's items that have an output, without item number `but`."""
    items = items_of(task, run.tasks[task].items or 0)
    return [
        index
        for number, index in enumerate(items)
        if number != but and run.has(index) and run.task(index).state is TaskState.SUCCESS
    ]


def range_of_tasks(plan: Plan, first: str, last: str) -> set[int]:
    """`first`, `last`, and what is ordered between them, and no other. Raises KeyError (unknown), EmptyRange."""
    start, end = plan.by_key[first], plan.by_key[last]
    between = _following(plan, start) & _preceding(plan, end)
    if not between:
        raise EmptyRange
    return between


def _following(plan: Plan, first: int) -> set[int]:
    """A task and all that is ordered after it, in its job and in the jobs after that."""
    return _reached(plan, first, lambda step: plan.steps[step].before, lambda stage: plan.stages[stage].before)


def _preceding(plan: Plan, last: int) -> set[int]:
    """A task and all that it is ordered after, in its job and in the jobs before that."""
    return _reached(plan, last, lambda step: plan.steps[step].after, lambda stage: plan.stages[stage].after)


_Neighbours = Callable[[int], tuple[int, ...]]


def _reached(plan: Plan, first: int, tasks_beside: _Neighbours, jobs_beside: _Neighbours) -> set[int]:
    tasks = _closure(first, tasks_beside)
    jobs = _closure(plan.steps[first].job, jobs_beside) - {plan.steps[first].job}
    return tasks | {index for job in jobs for index in plan.stages[job].steps}


def _closure(first: int, beside: _Neighbours) -> set[int]:
    found, waiting = {first}, [first]
    while waiting:
        fresh = [other for other in beside(waiting.pop()) if other not in found]
        found.update(fresh)
        waiting += fresh
    return found


def _in_order(plan: Plan) -> list[int]:
    """Steps such that whatever is read comes before its reader."""
    done: dict[int, None] = {}
    for step in plan.steps:
        waiting = [step.index]
        while waiting:
            index = waiting[-1]
            missing = [other for other in plan.steps[index].reads if other not in done]
            if missing and index not in done:
                waiting.extend(missing)
            else:
                done[waiting.pop()] = None
    return list(done)
