"""The blog content workflow for tests: composed as the platform ships it, run, and its posts counted on the disk."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from platform_house import TERMINAL, Platform

import demo_shop.catalogue
from flowweaver_cli import definition

KEYS = ("trend", "search", "match", "rank", "crawl", "upload", "select", "ocr", "article", "publish")
SHOP_DATA = demo_shop.catalogue.PACKAGED


def compose_blog(platform: Platform) -> str:
    """The workflow that `flowweaver demo` runs; its id."""
    blog = definition.blog_workflow()
    kept = ("name", "default_config", "input_schema", "failure_policy")
    return platform.compose(*(job["tasks"] for job in blog["jobs"]), **{name: blog[name] for name in kept})


def products() -> dict[str, dict[str, Any]]:
    """The shop's range by id, as its data file has it."""
    return {row["id"]: row for row in json.loads(SHOP_DATA.read_text(encoding="utf-8"))}


def posts(platform: Platform) -> list[dict[str, Any]]:
    """All that the blog holds."""
    return [json.loads(path.read_bytes()) for path in (platform.data / "blog" / "posts").glob("*/post.json")]


def page_of(platform: Platform, run: dict[str, Any]) -> str:
    """The article as anybody reads it: without a token, at its public address."""
    answer = httpx.get(platform.output(run, "publish")["post_url"], timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.text


def tasks_of(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By key, in their order."""
    return {task["key"]: task for job in run["jobs"] for task in job["tasks"]}


def moment(text: str | None) -> float:
    """Seconds since the epoch of a time as the API writes it."""
    assert text is not None
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Watcher:
    """Follows runs closely over one connection; whatever of the platform is down meanwhile is waited out."""

    platform: Platform

    def __post_init__(self) -> None:
        self.api = self.platform.client()

    def look(self, run_id: str) -> dict[str, Any] | None:
        try:
            answer = self.api.get(f"/workflow-runs/{run_id}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def reached(self, run_id: str, key: str, seconds: float = 60) -> dict[str, Any]:
        """The run when its task `key` is handed out, or later."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run = self.look(run_id)
            if run is not None and (run["state"] in TERMINAL or tasks_of(run)[key]["state"] != "PENDING"):
                return run
            time.sleep(0.01)
        raise AssertionError(f"run {run_id} did not come to {key} within {seconds} s: {self.look(run_id)}")
