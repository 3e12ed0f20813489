"""Use cases, one function each. Every save compiles what it concerns in its own transaction: all of it or none.

context.py      what they stand on
saving.py       the one way to save
workflows.py, jobs.py, tasks.py     what people do
definitions.py  what other services ask
composites.py   some placements as one task
catalogue.py    what workers can run
notices.py      what the scheduler must be told
"""

from workflow_service.app.catalogue import list_task_types, refresh_task_types
from workflow_service.app.composites import CompositeTask, create_composite
from workflow_service.app.context import Context, Revisions, Who
from workflow_service.app.definitions import Snapshot, get_definition
from workflow_service.app.jobs import (
    JobWithTasks,
    WantedTask,
    create_job,
    delete_job,
    get_job,
    list_jobs,
    put_tasks,
    update_job,
)
from workflow_service.app.notices import deliver_notices
from workflow_service.app.tasks import create_task, delete_task, get_task, list_tasks, update_task
from workflow_service.app.workflows import (
    Composed,
    WantedJob,
    create_workflow,
    delete_workflow,
    get_composed,
    get_workflow,
    list_schedules,
    list_workflows,
    put_jobs,
    set_active,
    update_workflow,
    workflow_head,
)

__all__ = [
    "Composed",
    "CompositeTask",
    "Context",
    "JobWithTasks",
    "Revisions",
    "Snapshot",
    "WantedJob",
    "WantedTask",
    "Who",
    "create_composite",
    "create_job",
    "create_task",
    "create_workflow",
    "delete_job",
    "delete_task",
    "delete_workflow",
    "deliver_notices",
    "get_composed",
    "get_definition",
    "get_job",
    "get_task",
    "get_workflow",
    "list_jobs",
    "list_schedules",
    "list_task_types",
    "list_tasks",
    "list_workflows",
    "put_jobs",
    "put_tasks",
    "refresh_task_types",
    "set_active",
    "update_job",
    "update_task",
    "update_workflow",
    "workflow_head",
]
