"""The task types: each module here registers its own with `sdk.task_type`; the worker finds them by listing."""
