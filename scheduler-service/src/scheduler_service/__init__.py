"""When workflows run: schedules, the instants they mean, and the one firing each instant gets."""

from kit import messages

messages.load("scheduler_service", "messages.toml", "description.toml")
