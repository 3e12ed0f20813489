"""Settings of worker-service, built only in `__main__` (and rebuilt from `portable` in a process slot)."""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from kit.settings import ServiceSettings


class WorkerSettings(ServiceSettings):
    worker_queues: str = Field(default="default", description="Queues a worker takes tasks from, comma-separated.")
    worker_slots: int = Field(default=16, ge=1, le=1000, description="Tasks a worker runs at once.")
    worker_processes: int = Field(
        default=2, ge=1, le=64, description="Processes a worker runs CPU-bound tasks in, at most; each ends when idle."
    )
    http_task_base_url: str | None = Field(default=None, description="Base address that tasks of type `http` call.")
    adapters_dir: Path | None = Field(default=None, description="Folder with further site adapters.")
    allowed_hosts: str = Field(
        default="", description="`host:port` pairs, comma-separated, that tasks may fetch though they are not public."
    )
    shop_base_url: str | None = Field(default=None, description="Base address of the demo shop.")
    blog_base_url: str | None = Field(
        default=None, description="Public address of the demo blog, e.g. `http://127.0.0.1:9000/blog`."
    )
    llm_api_key: SecretStr | None = Field(
        default=None, description="Key of a language model's API; articles are written without a model when absent."
    )
    llm_base_url: str | None = Field(
        default=None, description="Base address of an API that speaks OpenAI's protocol; OpenAI's own when absent."
    )
    llm_model: str = Field(default="gpt-4o-mini", description="The language model's name.")

    def queues(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.worker_queues.split(",") if name.strip())

    def blog_folder(self) -> Path:
        """Where the demo blog's pages lie; worker-service serves them under `/blog/`."""
        return self.data.resolve() / "blog"

    def portable(self) -> dict[str, Any]:
        """The settings as JSON values, as a worker's own process slots get them."""
        values = self.model_dump(mode="json")
        values["llm_api_key"] = None if self.llm_api_key is None else self.llm_api_key.get_secret_value()
        # a slot runs code on fetched data: what only the worker itself needs stays with it
        for name in ("encryption_key", "database_url", "service_secret_file"):
            values[name] = None
        return values
