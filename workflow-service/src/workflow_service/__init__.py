"""What runs: workflows, jobs and tasks, and the immutable definitions compiled from them at every save."""

from kit import messages

messages.load("workflow_service")
