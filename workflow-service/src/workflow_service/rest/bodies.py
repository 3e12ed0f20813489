"""What people may say, as bodies of the domain."""

import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from expressions import TEXT_LIMIT
from kit.http import Body
from workflow_service.app import WantedJob, WantedTask
from workflow_service.domain.compile import CONCURRENCY_KEY_LIMIT, PARAMETERS_LIMIT, PLACEMENT_LIMIT
from workflow_service.domain.composite import Wanted
from workflow_service.domain.model import (
    Backoff,
    Concurrency,
    FailurePolicy,
    JobBody,
    Overflow,
    Retry,
    TaskBody,
    WorkflowBody,
)

CONFIG_LIMIT = 256 * 1024
FOR_EACH_LIMIT = 256 * 1024  # of a list written out
ITEMS_LIMIT = 10_000
MOST_PARALLEL = 500
MOST_AT_ONCE = 1000
COMPOSITE_LIMIT = 500
YEAR_S = 366 * 24 * 3600


def _readable(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text) or not text.strip():
        raise PydanticCustomError("name_invalid", "no control characters, not only blanks")
    return text


def _sound_text(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text_invalid", "no NUL")
    return text


def _at_most(limit: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is not None and len(orjson.dumps(value)) > limit:
            raise PydanticCustomError("json_too_large", "at most {limit} bytes", {"limit": limit})
        return value

    return check


def _list_or_text(value: Any) -> Any:
    """One reason instead of one for each of the two types."""
    if value is not None and not isinstance(value, list | str):
        raise PydanticCustomError("for_each_type", "a list or an expression")
    if isinstance(value, list) and len(value) > ITEMS_LIMIT:
        raise PydanticCustomError("too_many_items", "at most {limit} items", {"limit": ITEMS_LIMIT})
    if isinstance(value, str) and not 0 < len(value.strip()) <= TEXT_LIMIT:
        raise PydanticCustomError("expression_length", "1 to {limit} characters", {"limit": TEXT_LIMIT})
    return value


def _key_text(text: str) -> str:
    text = _sound_text(text.strip())
    if not text:
        raise PydanticCustomError(
            "concurrency_key_invalid", "1 to {limit} characters", {"limit": CONCURRENCY_KEY_LIMIT}
        )
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Text = Annotated[str, Field(max_length=10_000), AfterValidator(_sound_text)]
Parameters = Annotated[dict[str, Any], AfterValidator(_at_most(PARAMETERS_LIMIT))]
Config = Annotated[dict[str, dict[str, Any]], AfterValidator(_at_most(CONFIG_LIMIT))]
Items = Annotated[list[Any] | str, BeforeValidator(_list_or_text), AfterValidator(_at_most(FOR_EACH_LIMIT))]
Schema = Annotated[dict[str, Any], AfterValidator(_at_most(PARAMETERS_LIMIT))]
Policy = Literal["continue", "stop", "isolate"]
Seconds = Annotated[float, Field(ge=0, le=YEAR_S, allow_inf_nan=False)]
Key = Annotated[str, Field(max_length=63)]
KeyText = Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT), AfterValidator(_key_text)]
AtOnce = Annotated[int, Field(ge=1, le=MOST_AT_ONCE)]
Id = Annotated[str, Field(max_length=64)]


class RetryIn(Body):
    """`max_attempts` counts the first attempt; times in seconds; `jitter`: the part of the wait drawn at random."""

    max_attempts: int = Field(default=1, ge=1, le=100)
    backoff: Literal["fixed", "exponential"] = "exponential"
    delay_s: Seconds = 1.0
    max_delay_s: Seconds = 300.0
    jitter: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)

    def to_domain(self) -> Retry:
        return Retry(self.max_attempts, Backoff(self.backoff), self.delay_s, self.max_delay_s, self.jitter)


class ConcurrencyIn(Body):
    """At most `limit` runs of the workflow at a time. One too many waits (`queue`), ends at once as CANCELLED (`skip`),
    or has the oldest cancelled (`cancel`)."""

    limit: AtOnce
    overflow: Literal["queue", "skip", "cancel"] = "queue"

    def to_domain(self) -> Concurrency:
        return Concurrency(self.limit, Overflow(self.overflow))


class WorkflowIn(Body):
    """`default_config`: values per placement key (or task id) merged over the blueprints (RFC 7396). `concurrency`: how
    many of its runs go on at once; absent: any number."""

    name: Name
    description: Text = ""
    default_config: Config = Field(default_factory=dict)
    input_schema: Schema | None = None
    failure_policy: Policy | None = None
    timeout_s: Seconds | None = None
    retention_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    concurrency: ConcurrencyIn | None = None

    def to_domain(self) -> WorkflowBody:
        policy = FailurePolicy(self.failure_policy or "continue")
        return WorkflowBody(
            name=self.name,
            description=self.description,
            default_config=self.default_config,
            input_schema=self.input_schema,
            failure_policy=policy,
            timeout_s=self.timeout_s,
            retention_days=self.retention_days,
            concurrency=self.concurrency.to_domain() if self.concurrency else None,
        )


class JobIn(Body):
    name: Name
    description: Text = ""
    failure_policy: Policy | None = None

    def to_domain(self) -> JobBody:
        return JobBody(self.name, self.description, _policy(self.failure_policy))


class TaskIn(Body):
    """`timeout_s` bounds one attempt, `queue_timeout_s` its wait for a worker, `heartbeat_s` the silence of one that
    runs; absent: the task type's own, and no bound."""

    name: Name
    type: str = Field(min_length=1, max_length=100, pattern=r"^[a-z][a-z0-9_.-]*$")
    description: Text = ""
    parameters: Parameters = Field(default_factory=dict)
    retry: RetryIn | None = None
    timeout_s: Seconds | None = None
    queue_timeout_s: Seconds | None = None
    heartbeat_s: Seconds | None = None
    queue: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    priority: int | None = Field(default=None, ge=1, le=5)
    failure_policy: Policy | None = None

    def to_domain(self) -> TaskBody:
        return TaskBody(
            name=self.name,
            type=self.type,
            description=self.description,
            parameters=self.parameters,
            retry=self.retry.to_domain() if self.retry else None,
            timeout_s=self.timeout_s,
            queue_timeout_s=self.queue_timeout_s,
            heartbeat_s=self.heartbeat_s,
            queue=self.queue,
            priority=self.priority,
            failure_policy=_policy(self.failure_policy),
        )


class CompositeIn(Body):
    """`keys`: of the placements that become one task; `replace`: puts it in their place, called `key` there (absent:
    after its name)."""

    name: Name
    description: Text = ""
    keys: list[Key] = Field(min_length=1, max_length=COMPOSITE_LIMIT)
    replace: bool = False
    key: Key | None = None

    @field_validator("keys")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := next((key for index, key in enumerate(value) if key in value[:index]), None):
            raise PydanticCustomError("composite_key_twice", "'{key}' is there twice", {"key": twice})
        return value

    @field_validator("key")
    @classmethod
    def _of_a_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("replace") is False:
            raise PydanticCustomError("composite_key_alone", "only with replace")
        return value

    def to_domain(self) -> Wanted:
        return Wanted(self.name, tuple(self.keys), self.description, self.key, self.replace)


class JobPlacementIn(Body):
    """`depends_on`: keys of jobs of this workflow; absent: the one before it; []: none."""

    job_id: Id
    key: Key | None = None
    depends_on: list[Key] | None = Field(default=None, max_length=PLACEMENT_LIMIT)

    def to_domain(self) -> WantedJob:
        return WantedJob(self.job_id, self.key, None if self.depends_on is None else tuple(self.depends_on))


class TaskPlacementIn(Body):
    """`depends_on`: keys of tasks of this job; absent: the one before it; []: none. `when`: a condition, with or
    without `${{ }}`; the task is skipped when it is false. `for_each`: a list, or an expression that gives one, with or
    without `${{ }}`; the task runs once per item, at most `max_parallel` at a time, its parameters may name `item`, and
    its output is the list of their outputs. `concurrency_key`: text, or text with `${{ }}`, of 1 to 128 characters in
    the end: of all tasks of the organisation under one key at most `concurrency_limit` run (by default one). The rest
    overrides the task's."""

    task_id: Id
    key: Key | None = None
    name: Name | None = None
    depends_on: list[Key] | None = Field(default=None, max_length=PLACEMENT_LIMIT)
    when: str | None = Field(default=None, min_length=1, max_length=4096)
    for_each: Items | None = None
    max_parallel: int | None = Field(default=None, ge=1, le=MOST_PARALLEL)
    concurrency_key: KeyText | None = None
    concurrency_limit: AtOnce | None = None
    retry: RetryIn | None = None
    timeout_s: Seconds | None = None
    queue_timeout_s: Seconds | None = None
    heartbeat_s: Seconds | None = None
    failure_policy: Policy | None = None
    parameters: Parameters | None = None

    @field_validator("max_parallel")
    @classmethod
    def _of_a_list(cls, value: int | None, info: ValidationInfo) -> int | None:
        # a for_each that is wrong itself is not among the data
        if value is not None and info.data.get("for_each", "") is None:
            raise PydanticCustomError("max_parallel_alone", "only with for_each")
        return value

    @field_validator("concurrency_limit")
    @classmethod
    def _of_a_key(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("concurrency_key", "") is None:
            raise PydanticCustomError("concurrency_limit_alone", "only with concurrency_key")
        return value

    def to_domain(self) -> WantedTask:
        return WantedTask(
            task_id=self.task_id,
            key=self.key,
            name=self.name,
            depends_on=None if self.depends_on is None else tuple(self.depends_on),
            when=None if self.when is None else _expression(self.when),
            for_each=_expression(self.for_each) if isinstance(self.for_each, str) else self.for_each,
            max_parallel=self.max_parallel,
            concurrency_key=self.concurrency_key,
            concurrency_limit=self.concurrency_limit,
            retry=self.retry.to_domain() if self.retry else None,
            timeout_s=self.timeout_s,
            queue_timeout_s=self.queue_timeout_s,
            heartbeat_s=self.heartbeat_s,
            failure_policy=_policy(self.failure_policy),
            parameters=self.parameters,
        )


JobPlacements = Annotated[list[JobPlacementIn], Field(max_length=PLACEMENT_LIMIT)]
TaskPlacements = Annotated[list[TaskPlacementIn], Field(max_length=PLACEMENT_LIMIT)]


def _expression(text: str) -> str:
    """With `${{ }}` around it, so that there is one form of it from here on."""
    return text.strip() if "${{" in text else f"${{{{ {text.strip()} }}}}"


def _policy(value: str | None) -> FailurePolicy | None:
    return None if value is None else FailurePolicy(value)
