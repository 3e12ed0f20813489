"""A definition compiled once for all its runs: tasks by index, who waits for whom, who needs whose output.

Everything here is O(definition) once per version, so that a decision is O(changes).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from types import MappingProxyType

from execution_service.domain.definition import Definition, TaskSpec
from execution_service.domain.waits import KINDS, Kind
from expressions import Names, Template, compile_condition, compile_template

STRIDE = 100_000
"""A run has fewer tasks. Task runs are numbered: a task by its index, its item n by that index + (n + 1) * STRIDE."""
DEFAULT_RUN_TIMEOUT_S = 30 * 24 * 3600.0
_ROOTS = frozenset({("run", "input"), ("tasks", "*", "output"), ("now",)})
NAMES = Names(_ROOTS)
"""What an expression may name here. Which tasks come before which, workflow-service checked when it was saved."""
ITEM_NAMES = Names(_ROOTS | {("item",)})
"""What the parameters of a task with `for_each` may name."""
MOST_PARALLEL = 500
"""Items of one task that are open at a time: a large expansion is committed and handed out slice by slice."""


@dataclass(frozen=True, slots=True)
class Step:
    """A task's place in the plan. All numbers are indexes of steps."""

    index: int
    job: int
    spec: TaskSpec
    kind: Kind | None
    """What the engine itself waits for; None: a worker's task."""
    template: Template
    condition: Template | None
    items: Template | None
    """The list it runs over; None: it runs once."""
    scope: Template | None
    """The concurrency key it runs under; None: none."""
    limited: bool
    """Whether it runs under a limit that it shares with other tasks: that of its key, or of its queue."""
    needs: tuple[int, ...]
    """Its input cannot be made without these tasks' outputs."""
    asks: tuple[int, ...]
    """Its condition cannot be judged without these tasks' outputs."""
    reads: tuple[int, ...]
    """All outputs its input and its condition look at: the needed and the optional ones."""
    after: tuple[int, ...]
    before: tuple[int, ...]
    """Tasks of the same job ordered right before and right after it; what it reads always comes before it."""

    @property
    def parallel(self) -> int:
        """How many of its items are open at a time."""
        return min(self.spec.max_parallel or MOST_PARALLEL, MOST_PARALLEL)


@dataclass(frozen=True, slots=True)
class Stage:
    """A job's place in the plan. Numbers of jobs in `after` and `before`, of steps in `steps`."""

    index: int
    key: str
    name: str
    steps: tuple[int, ...]
    after: tuple[int, ...]
    before: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    definition: Definition
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    by_key: Mapping[str, int]
    ends: tuple[int, ...]
    """Tasks that nothing is ordered after and nothing reads: their outputs are the run's."""
    queue_limits: Mapping[str, int]
    """Of the queues that are limited, how many tasks of the whole installation run at a time."""
    limited: bool
    """Whether anything of it runs under a limit that it shares with other runs."""

    def step(self, index: int) -> Step:
        """The step of a task run: its own, or the one whose item it is."""
        return self.steps[index % STRIDE]

    @property
    def timeout_micros(self) -> int:
        return int((self.definition.timeout_s or DEFAULT_RUN_TIMEOUT_S) * 1_000_000)


def compile_plan(definition: Definition, queue_limits: Mapping[str, int] = MappingProxyType({})) -> Plan:
    """The plan of a definition that workflow-service accepted. A broken one raises ValueError or ExpressionError."""
    specs = [(job, spec) for job, jobspec in enumerate(definition.jobs) for spec in jobspec.tasks]
    by_key = {spec.key: index for index, (_, spec) in enumerate(specs)}
    if len(by_key) != len(specs):
        raise ValueError("two tasks have one key")
    if len(specs) > STRIDE:
        raise ValueError("too many tasks")
    templates = [_template(spec) for _, spec in specs]
    lists = [compile_template(spec.for_each, NAMES) if spec.for_each is not None else None for _, spec in specs]
    conditions = [compile_condition(spec.when, NAMES) if spec.when is not None else None for _, spec in specs]
    scopes = [
        compile_template(spec.concurrency_key, _names(spec)) if spec.concurrency_key else None for _, spec in specs
    ]
    reads = [
        _unique(other for template in made if template is not None for other in _roots(by_key, template))
        for made in zip(templates, conditions, lists, scopes, strict=True)
    ]
    needs = [
        _unique(other for template in made if template is not None for other in _numbers(by_key, template.needs))
        for made in zip(templates, lists, scopes, strict=True)
    ]
    asks = [_numbers(by_key, condition.needs) if condition else () for condition in conditions]
    # whatever is read is waited for: a rerun may reuse the task that stands between the two
    after = [
        _unique((*_numbers(by_key, spec.depends_on), *(other for other in reads[index] if specs[other][0] == job)))
        for index, (job, spec) in enumerate(specs)
    ]
    for index, (job, spec) in enumerate(specs):
        if any(specs[other][0] != job for other in after[index]):
            raise ValueError(f"{spec.key} depends on a task of another job")
    tuple(_in_order(after))
    before = _reverse(after)
    steps = tuple(
        Step(
            index,
            job,
            spec,
            KINDS.get(spec.type),
            templates[index],
            conditions[index],
            lists[index],
            scopes[index],
            # what the engine itself waits for holds no worker: it needs no place
            spec.type not in KINDS and (scopes[index] is not None or spec.queue in queue_limits),
            needs[index],
            asks[index],
            reads[index],
            after[index],
            before[index],
        )
        for index, (job, spec) in enumerate(specs)
    )
    stages = _stages(definition, steps)
    read = {other for step in steps for other in step.reads}
    ends = [step.index for step in steps if not (step.before or stages[step.job].before or step.index in read)]
    limited = definition.concurrency is not None or any(step.limited for step in steps)
    return Plan(definition, steps, stages, by_key, tuple(ends), queue_limits, limited)


def _template(spec: TaskSpec) -> Template:
    parameters = spec.parameters if spec.parameters is not None else {}
    return compile_template(parameters, _names(spec))


def _names(spec: TaskSpec) -> Names:
    return NAMES if spec.for_each is None else ITEM_NAMES


def _stages(definition: Definition, steps: tuple[Step, ...]) -> tuple[Stage, ...]:
    numbers = {job.key: number for number, job in enumerate(definition.jobs)}
    if len(numbers) != len(definition.jobs):
        raise ValueError("two jobs have one key")
    after = [_numbers(numbers, job.depends_on) for job in definition.jobs]
    own: list[list[int]] = [[] for _ in definition.jobs]
    for step in steps:
        own[step.job].append(step.index)
        read = (steps[other].job for other in step.reads)
        after[step.job] = _unique((*after[step.job], *(job for job in read if job != step.job)))
    for number in _in_order(after):
        # a job without tasks cannot pass a stop on: who comes after it also comes after what is before it
        passed = [earlier for other in after[number] if not own[other] for earlier in after[other]]
        after[number] = _unique((*after[number], *passed))
    before = _reverse(after)
    return tuple(
        Stage(number, job.key, job.name, tuple(own[number]), after[number], before[number])
        for number, job in enumerate(definition.jobs)
    )


def _roots(by_key: Mapping[str, int], template: Template) -> tuple[int, ...]:
    """The tasks whose outputs a template may look up."""
    return _numbers(by_key, (root[1] for root in template.roots if root[0] == "tasks"))


def _numbers(known: Mapping[str, int], keys: Iterable[str]) -> tuple[int, ...]:
    try:
        return tuple(sorted({known[key] for key in keys}))
    except KeyError as error:
        raise ValueError(f"there is no {error}") from error


def _unique(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


def _in_order(after: Iterable[tuple[int, ...]]) -> Iterable[int]:
    """Numbers such that each comes after those it waits for. A circle raises ValueError."""
    return TopologicalSorter(dict(enumerate(after))).static_order()


def _reverse(after: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    edges = list(after)
    before: list[list[int]] = [[] for _ in edges]
    for index, earlier in enumerate(edges):
        for other in earlier:
            before[other].append(index)
    return [tuple(later) for later in before]
