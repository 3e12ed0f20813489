"""What a task type is written against. The rule kept here: a task sees its parameters, its context, and nothing else.

A module registers its types when imported, one of `worker_service.tasks` or one that an installed package names (see
`plugins` and docs/task-types.md); heavy libraries are imported inside functions:

    class Parameters(sdk.Parameters):
        keyword: str

    class Output(sdk.Output):
        matched_products: list[Match]

    @task_type("product.match", parameters=Parameters, output=Output, errors=[ErrorCode("no_products")],
               isolation="process", timeout_s=300)
    def product_match(ctx: ProcessContext, p: Parameters) -> Output:
        raise TaskError("no_products", keyword=p.keyword)

- `isolation="loop"`: `async def f(ctx: Context, p)`, on the tasks' event loop, for work that waits. It may be
  cancelled at any await; it should not hold the loop, and is not trusted not to.
- `isolation="process"`: `def f(ctx: ProcessContext, p)`, in a process of its own for the time, for work that computes
  or needs heavy libraries. It is killed on time-out and cancel; before that `Cancelled` is raised in it.
- Left out, it follows from the function: `async def` on the loop, `def` in a process. The other two combinations are
  refused: a plain function would hold the loop, and in a thread it could never be ended.
- `effect=True`: changes something outside the platform. The effect ledger then lets one worker at a time run a task
  run and answers its recorded output when it was already done; `ctx.effects` keeps notes between attempts.
- `heartbeat_s=30`: an attempt that calls neither `ctx.heartbeat()` nor `ctx.progress()` for so long is ended.
- Both contexts have the same members; what a `Context` is asked for is awaited, a `ProcessContext`'s is not. `log`,
  `progress` and `heartbeat` wait for nothing in either.
- `ctx.http()` is `fetch.client(settings)`, an `httpx.AsyncClient` to be entered, or `fetch.sync_client(settings)`.

Texts stand beside module `tasks/<module>.py` in `tasks/<module>.messages.toml` (or in the package's `messages.toml`):
a table per type's name (its title) and per error code, placeholders filled from TaskError's params:

    ["product.match"]
    ko = "상품 매칭"
    en = "Match products"

    [no_products]
    ko = "‘{keyword}’에 맞는 상품이 없습니다."
    en = "No product matches '{keyword}'."

`sdk.testing` runs a type as a worker would, for its tests.
"""

from worker_service.sdk.context import (
    Artifact,
    Artifacts,
    Ask,
    AskNow,
    Context,
    Effects,
    ProcessArtifacts,
    ProcessContext,
    ProcessEffects,
    ProcessState,
    Sign,
    Sink,
    State,
    StateEntry,
    TaskIds,
    TaskLog,
)
from worker_service.sdk.types import (
    DEFAULT_TIMEOUT_S,
    OUTPUT_LIMIT,
    Cancelled,
    ErrorCode,
    Isolation,
    Output,
    Parameters,
    StateConflict,
    TaskError,
    TaskType,
    WrongTaskType,
    discover,
    forget,
    load,
    registered,
    task_type,
    texts,
)

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "OUTPUT_LIMIT",
    "Artifact",
    "Artifacts",
    "Ask",
    "AskNow",
    "Cancelled",
    "Context",
    "Effects",
    "ErrorCode",
    "Isolation",
    "Output",
    "Parameters",
    "ProcessArtifacts",
    "ProcessContext",
    "ProcessEffects",
    "ProcessState",
    "Sign",
    "Sink",
    "State",
    "StateConflict",
    "StateEntry",
    "TaskError",
    "TaskIds",
    "TaskLog",
    "TaskType",
    "WrongTaskType",
    "discover",
    "forget",
    "load",
    "registered",
    "task_type",
    "texts",
]
