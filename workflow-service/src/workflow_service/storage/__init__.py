"""Every statement. Whatever belongs to an organisation is reached only with that organisation's id.

All writes to definitions of one organisation stand in line (`lock_definitions`): what is compiled in a transaction is
what the others see after it.
"""

from workflow_service.storage.catalogue import save_task_types, task_types
from workflow_service.storage.composition import (
    Use,
    get_composition,
    get_task_placements,
    known_jobs,
    known_tasks,
    placed_jobs,
    placed_tasks,
    replace_jobs,
    replace_tasks,
    uses_of_jobs,
    uses_of_task,
)
from workflow_service.storage.definitions import (
    get_definition,
    insert_definition,
    latest_definition,
    set_problems,
)
from workflow_service.storage.locks import lock_definitions
from workflow_service.storage.notices import Notice, drop_notice, pending_notices, put_notice, renew_notice
from workflow_service.storage.resources import (
    Page,
    Query,
    delete_job,
    delete_task,
    delete_workflow,
    get_job,
    get_task,
    get_workflow,
    insert_job,
    insert_task,
    insert_workflow,
    list_jobs,
    list_tasks,
    list_workflows,
    set_active,
    update_job,
    update_task,
    update_workflow,
    workflow_head,
)
from workflow_service.storage.rows import Actor
from workflow_service.storage.tables import idempotency_key, metadata

__all__ = [
    "Actor",
    "Notice",
    "Page",
    "Query",
    "Use",
    "delete_job",
    "delete_task",
    "delete_workflow",
    "drop_notice",
    "get_composition",
    "get_definition",
    "get_job",
    "get_task",
    "get_task_placements",
    "get_workflow",
    "idempotency_key",
    "insert_definition",
    "insert_job",
    "insert_task",
    "insert_workflow",
    "known_jobs",
    "known_tasks",
    "latest_definition",
    "list_jobs",
    "list_tasks",
    "list_workflows",
    "lock_definitions",
    "metadata",
    "pending_notices",
    "placed_jobs",
    "placed_tasks",
    "put_notice",
    "renew_notice",
    "replace_jobs",
    "replace_tasks",
    "save_task_types",
    "set_active",
    "set_problems",
    "task_types",
    "update_job",
    "update_task",
    "update_workflow",
    "uses_of_jobs",
    "uses_of_task",
    "workflow_head",
]
