"""compile(): a composition becomes a definition that the engine can run as it stands, or a list of what is wrong.

While a job is still empty or missing the composition is *open*: names that nothing bears yet are then only noted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from expressions import ExpressionError, Names, Template, compile_condition, compile_list, compile_template
from workflow_service.domain import http_blueprint, order
from workflow_service.domain.engine_types import ENGINE_TYPES
from workflow_service.domain.keys import Remembered, workflow_keys
from workflow_service.domain.merge import holds, merge
from workflow_service.domain.model import (
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    Composition,
    Definition,
    JobPlacement,
    JobSpec,
    JsonObject,
    Problem,
    Retry,
    TaskPlacement,
    TaskSpec,
    TaskType,
    path_text,
)
from workflow_service.domain.schemas import violations
from workflow_service.domain.scope import rename, strings

PLACEMENT_LIMIT = 10_000
PARAMETERS_LIMIT = 64 * 1024
# a definition must fit into one gRPC message (4 MiB)
DEFINITION_LIMIT = 3 * 1024 * 1024
# characters of what a concurrency key comes to
CONCURRENCY_KEY_LIMIT = 128
# keys that one message names
SHOWN = 20
ROOTS = frozenset({("run", "input"), ("tasks", "*", "output"), ("now",)})
ITEM_ROOTS = ROOTS | {("item",)}

Path = tuple[str | int, ...]


class Layer(NamedTuple):
    """Values that are merged, whose they are (a prefix of `Problem.where`), and where in the merged object they go."""

    where: Path
    values: Any
    at: Path = ()


def compile_definition(
    composition: Composition, types: Mapping[str, TaskType], remembered: Remembered, *, part: bool = False
) -> tuple[Definition, tuple[Problem, ...]]:
    """The definition (version 0: not yet numbered) and everything that is wrong with it.

    `types` is the catalogue, empty while nothing is known. `remembered`: keys of the newest definition, to be kept.
    `part`: this is a task or job by itself, whose names may stand elsewhere.
    """
    return _Compiler(composition, types, workflow_keys(composition, remembered), part).compile()


@dataclass
class _Compiler:
    composition: Composition
    types: Mapping[str, TaskType]
    keys: list[list[str]]
    part: bool
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        jobs = self.composition.jobs
        self.open = self.part or not jobs or any(not job.tasks for job in jobs)
        self.places = {key: (j, t) for j, row in enumerate(self.keys) for t, key in enumerate(row)}
        self.job_edges = self._edges([job.key for job in jobs], [job.depends_on for job in jobs], "jobs", ("jobs",))
        self.job_ancestors = order.ancestors(self.job_edges)

    def compile(self) -> tuple[Definition, tuple[Problem, ...]]:
        workflow = self.composition.workflow
        self._check_whole()
        jobs = tuple(self._job(index, placement) for index, placement in enumerate(self.composition.jobs))
        definition = Definition(
            organization_id=workflow.organization_id,
            workflow_id=workflow.workflow_id,
            version=0,
            name=workflow.body.name,
            input_schema=workflow.body.input_schema,
            timeout_s=workflow.body.timeout_s or 0.0,
            jobs=jobs,
            retention_days=workflow.body.retention_days or 0.0,
            concurrency=workflow.body.concurrency,
        )
        if sum(_weight(task) for job in jobs for task in job.tasks) > DEFINITION_LIMIT:
            self._report(("workflow",), "", "definition_too_large", limit=DEFINITION_LIMIT)
        return definition, tuple(self.problems)

    def _report(self, where: Path, field_: str, code: str, *, blocking: bool = True, **params: Any) -> None:
        self.problems.append(Problem(where, field_, code, tuple(params.items()), blocking))

    def _check_whole(self) -> None:
        jobs = self.composition.jobs
        if not jobs:
            self._report(("workflow",), "jobs", "workflow_empty", blocking=False)
        for index, job in enumerate(jobs):
            if not job.tasks:
                self._report(
                    ("jobs", index), f"jobs.{job.key}.tasks", "job_empty", blocking=False, job=job.job.body.name
                )
        if sum(len(job.tasks) for job in jobs) > PLACEMENT_LIMIT:
            self._report(("workflow",), "jobs", "too_many_placements", limit=PLACEMENT_LIMIT)
        task_ids = {task.task.task_id for job in jobs for task in job.tasks}
        for key in self.composition.workflow.body.default_config:
            if key not in self.places and key not in task_ids:
                known = ", ".join(list(self.places)[:SHOWN]) or "–"
                where = ("default_config", key)
                self._report(where, path_text(where), "placement_unknown", blocking=not self.open, key=key, known=known)

    def _edges(
        self, keys: Sequence[str], said: Sequence[Sequence[str] | None], label: str, where: Path
    ) -> list[tuple[int, ...]]:
        """The order at one level. What is wrong with it is reported, and the plain order taken instead."""
        try:
            edges = order.after(keys, said)
        except order.UnknownKey as error:
            at: Path = (error.index, "depends_on", error.position)
            field_ = path_text((label, keys[error.index], *at[1:]))
            self._report((*where, *at), field_, "depends_on_unknown", key=error.key, known=", ".join(keys[:SHOWN]))
            return order.after(keys, [None] * len(keys))
        if (loop := order.cycle(edges)) is not None:
            at = (loop[0], "depends_on")
            shown = loop if len(loop) <= SHOWN else [*loop[: SHOWN - 1], loop[-1]]
            names = " → ".join(keys[index] for index in shown)
            self._report((*where, *at), path_text((label, keys[loop[0]], "depends_on")), "cycle", cycle=names)
            return order.after(keys, [None] * len(keys))
        return edges

    # --- jobs and tasks --------------------------------------------------------------------------------------------

    def _job(self, index: int, placement: JobPlacement) -> JobSpec:
        keys = self.keys[index]
        local = [task.key for task in placement.tasks]
        where = ("placement", placement.job.job_id)
        edges = self._edges(local, [task.depends_on for task in placement.tasks], "tasks", where)
        masks = order.ancestors(edges)
        # by index, for few are: nearly every task is called as its job calls it
        renamed = {n: (said, key) for n, (said, key) in enumerate(zip(local, keys, strict=True)) if said != key}
        tasks = []
        for number, task in enumerate(placement.tasks):
            scope = _Scope(self, index, number, masks[number], renamed, where)
            tasks.append(self._task(placement, task, scope, tuple(keys[other] for other in edges[number])))
        return JobSpec(
            placement_id=placement.placement_id,
            key=placement.key,
            job_id=placement.job.job_id,
            name=placement.job.body.name,
            depends_on=tuple(self.composition.jobs[other].key for other in self.job_edges[index]),
            tasks=tuple(tasks),
        )

    def _task(self, job: JobPlacement, placed: TaskPlacement, scope: "_Scope", after: tuple[str, ...]) -> TaskSpec:
        task, workflow = placed.task.body, self.composition.workflow.body
        type_ = self.types.get(task.type)
        return TaskSpec(
            placement_id=placed.placement_id,
            local_key=placed.key,
            key=scope.key,
            task_id=placed.task.task_id,
            name=placed.name or task.name,
            type=task.type,
            parameters=self._parameters(placed, scope),
            depends_on=after,
            failure_policy=(
                placed.failure_policy or task.failure_policy or job.job.body.failure_policy or workflow.failure_policy
            ),
            retry=placed.retry or task.retry or Retry(),
            timeout_s=placed.timeout_s or task.timeout_s or 0.0,
            queue_timeout_s=placed.queue_timeout_s or task.queue_timeout_s or 0.0,
            heartbeat_s=placed.heartbeat_s or task.heartbeat_s or 0.0,
            queue=task.queue or (type_.queue if type_ else "") or DEFAULT_QUEUE,
            priority=task.priority or DEFAULT_PRIORITY,
            when=self._condition(placed, scope),
            for_each=self._items(placed, scope),
            max_parallel=placed.max_parallel or 0,
            concurrency_key=self._concurrency_key(placed, scope),
            concurrency_limit=None if placed.concurrency_key is None else placed.concurrency_limit or 1,
        )

    def _condition(self, placed: TaskPlacement, scope: "_Scope") -> str | None:
        if placed.when is None:
            return None
        condition: str = rename(placed.when, scope.renamed_keys())
        for code, params, blocking in scope.condition_faults(condition):
            where = (*scope.where, scope.number, "when")
            self._report(where, path_text(("tasks", scope.key, "when")), code, blocking=blocking, **params)
        return condition

    def _items(self, placed: TaskPlacement, scope: "_Scope") -> list[Any] | str | None:
        if placed.for_each is None:
            return None
        items: list[Any] | str = rename(placed.for_each, scope.renamed_keys())
        for path, code, params, blocking in scope.item_faults(items):
            where = (*scope.where, scope.number, "for_each", *path)
            self._report(where, path_text(("tasks", scope.key, "for_each", *path)), code, blocking=blocking, **params)
        return items

    def _concurrency_key(self, placed: TaskPlacement, scope: "_Scope") -> str | None:
        if placed.concurrency_key is None:
            return None
        key: str = rename(placed.concurrency_key, scope.renamed_keys())
        faults = list(scope.key_faults(key, _roots(placed)))
        if placed.task.body.type in ENGINE_TYPES:
            faults.append(("concurrency_key_of_wait", {}, True))
        for code, params, blocking in faults:
            where = (*scope.where, scope.number, "concurrency_key")
            self._report(where, path_text(("tasks", scope.key, "concurrency_key")), code, blocking=blocking, **params)
        return key

    def _parameters(self, placed: TaskPlacement, scope: "_Scope") -> JsonObject:
        """Blueprint, placement and default_config merged, expanded and checked."""
        task, config = placed.task, self.composition.workflow.body.default_config
        renamed = scope.renamed_keys()
        own = [
            Layer(("task", task.task_id, "parameters"), rename(task.body.parameters, renamed)),
            Layer((*scope.where, scope.number, "parameters"), rename(placed.parameters, renamed)),
        ]
        given = [Layer(("default_config", name), config[name]) for name in (task.task_id, scope.key) if name in config]
        merged = merge(own[0].values, own[1].values)
        if task.body.type == http_blueprint.TYPE:
            try:
                merged = http_blueprint.expand(merged, [layer.values for layer in given])
            except http_blueprint.Fault as fault:
                self._blame(scope, given if fault.given else own, own[0].where, fault.path, fault.code, **fault.params)
                return merged  # type: ignore[no-any-return]
            given = list(_http_layers(given))
        else:
            for layer in given:
                merged = merge(merged, layer.values)
        self._check(placed, scope, [*own, *given], merged)
        return merged  # type: ignore[no-any-return]

    def _check(self, placed: TaskPlacement, scope: "_Scope", layers: list[Layer], merged: JsonObject) -> None:
        """Reports what is wrong with a placement's merged parameters."""
        base = layers[0].where
        if _size(merged) > PARAMETERS_LIMIT:
            self._blame(scope, layers, base, (), "parameters_too_large", limit=PARAMETERS_LIMIT)
        for path, code, params, blocking in scope.faults(merged, _roots(placed)):
            self._blame(scope, layers, base, path, code, blocking=blocking, **params)
        if not self.types:
            return
        type_ = self.types.get(placed.task.body.type)
        if type_ is None:
            known = ", ".join(sorted(self.types))
            self._report((*base[:2], "type"), f"tasks.{scope.key}.type", "task_type_unknown", known=known)
            return
        for found in violations(type_.parameters_schema, merged):
            self._blame(scope, layers, base, found.path, found.code, blocking=not found.missing, **dict(found.params))

    def _blame(
        self,
        scope: "_Scope",
        layers: Sequence[Layer],
        base: Path,
        path: Path,
        code: str,
        *,
        blocking: bool = True,
        **params: Any,
    ) -> None:
        """Reports a problem at `path` of the merged parameters against the topmost layer that says that value."""
        field_ = path_text(("tasks", scope.key, "parameters", *path))
        for layer in reversed(layers):
            rest = path[len(layer.at) :]
            if rest and path[: len(layer.at)] == layer.at and holds(layer.values, rest):
                self._report((*layer.where, *rest), field_, code, blocking=blocking, **params)
                return
        self._report((*base, *path), field_, code, blocking=blocking, **params)


def _roots(placed: TaskPlacement) -> frozenset[tuple[str, ...]]:
    """What is named by what is made once per item."""
    return ROOTS if placed.for_each is None else ITEM_ROOTS


def _http_layers(given: Sequence[Layer]) -> Iterator[Layer]:
    """Where default_config's values of an http placement went."""
    for where, values, _ in given:
        for wrapper in http_blueprint.WRAPPERS:
            yield Layer((*where, wrapper), values.get(wrapper), ("values",))
        yield Layer(where, values, ("values",))


@dataclass
class _Scope:
    """What the expressions of one placement may name. A job's own task hides another job's of the same key."""

    compiler: _Compiler
    job: int
    number: int
    before: int
    renamed: Mapping[int, tuple[str, str]]
    where: Path

    @property
    def key(self) -> str:
        return self.compiler.keys[self.job][self.number]

    def renamed_keys(self) -> dict[str, str]:
        """Local keys that mean a task before this one in its job, where the workflow calls it otherwise."""
        return {local: key for index, (local, key) in self.renamed.items() if self.before >> index & 1}

    def faults(
        self, value: Any, roots: frozenset[tuple[str, ...]] = ROOTS
    ) -> Iterator[tuple[Path, str, dict[str, Any], bool]]:
        """Path, code, params and whether it blocks, for each expression that cannot be."""
        found = False
        for path, text in strings(value):
            for fault in self._faults(compile_template, text, roots):
                found = True
                yield path, *fault
        if not found:  # as a whole: its depth, and keys that hold expressions
            for fault in self._faults(compile_template, value, roots):
                yield (), *fault

    def condition_faults(self, condition: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """As `faults`, of a `when`."""
        return self._faults(compile_condition, condition)

    def item_faults(self, items: list[Any] | str) -> Iterator[tuple[Path, str, dict[str, Any], bool]]:
        """As `faults`, of a `for_each`."""
        if isinstance(items, list):
            yield from self.faults(items)
        else:
            for fault in self._faults(compile_list, items):
                yield (), *fault

    def key_faults(self, key: str, roots: frozenset[tuple[str, ...]]) -> Iterator[tuple[str, dict[str, Any], bool]]:
        """As `faults`, of a `concurrency_key`."""
        made: list[Template] = []
        yield from self._faults(lambda text, names: made.append(compile_template(text, names)), key, roots)
        if made and made[0].constant and not _is_concurrency_key(made[0].render(_nothing)):
            yield "concurrency_key_invalid", {"limit": CONCURRENCY_KEY_LIMIT}, True

    def _faults(
        self, compile_: Callable[[Any, Names], object], value: Any, roots: frozenset[tuple[str, ...]] = ROOTS
    ) -> Iterator[tuple[str, dict[str, Any], bool]]:
        refused: list[tuple[str, dict[str, Any], bool]] = []
        try:
            compile_(value, Names(roots, self._refuser(refused)))
        except ExpressionError as error:
            yield refused[0] if refused else (f"expression_{error.code}", {"error": error.reason}, True)

    def _refuser(self, refused: list[tuple[str, dict[str, Any], bool]]) -> Callable[[tuple[str, ...]], str | None]:
        def refuse(root: tuple[str, ...]) -> str | None:
            if root[0] != "tasks":
                return None
            key = root[1]
            place = self.compiler.places.get(key)
            if place is None:
                refused.append(("task_unknown", {"key": key}, not self.compiler.open))
            elif not self._is_before(place):
                # of a part the name may mean an earlier job's task, which it hides only where it comes before
                refused.append(("task_not_before", {"key": key}, not self.compiler.part))
            return refused[0][0] if refused else None

        return refuse

    def _is_before(self, place: tuple[int, int]) -> bool:
        job, number = place
        if job == self.job:
            return bool(self.before >> number & 1)
        return bool(self.compiler.job_ancestors[self.job] >> job & 1)


def _nothing(root: tuple[str, ...]) -> Any:
    raise LookupError(root)


def _is_concurrency_key(value: Any) -> bool:
    whole = isinstance(value, str | int) and not isinstance(value, bool)
    return whole and 0 < len(str(value)) <= CONCURRENCY_KEY_LIMIT


def _size(value: Any) -> int:
    return len(orjson.dumps(value))


def _weight(task: TaskSpec) -> int:
    """About how many bytes a task takes in a message."""
    texts = (task.key, task.task_id, task.name, task.type, task.queue, *task.depends_on)
    said = _size(task.parameters) + _size(task.for_each)
    texts += (task.when or "", task.concurrency_key or "")
    return said + sum(len(text.encode()) + 2 for text in texts) + 60
