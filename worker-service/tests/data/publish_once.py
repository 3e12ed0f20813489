"""Delivers article.publish once in a process of its own: `publish_once.py FOLDER KEY [STEP [NTH]]`.

Kills itself with SIGKILL at the NTH time the task marks STEP; else prints the task's output. State lies
in FOLDER/state-KEY.json, the artifact in FOLDER/image.png.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from worker_service.sdk import ProcessContext, TaskIds, TaskLog
from worker_service.settings import WorkerSettings
from worker_service.tasks.article_publish import PublishParameters, article_publish

folder, key, fatal_step, nth = Path(sys.argv[1]), sys.argv[2], *[*sys.argv[3:], "", "1"][:2]
state = folder / f"state-{key}.json"
marked: list[str] = []


def log(level: str, event: str, fields: dict[str, Any]) -> None:
    marked.append(fields.get("step", ""))
    if fatal_step and marked.count(fatal_step) == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)


def ask(wish: str, arguments: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
    match wish:
        case "artifact.get":
            return None, (folder / "image.png").read_bytes()
        case "state.get":
            return (json.loads(state.read_text()) if state.exists() else None), b""
        case "state.put":
            fresh = state.with_suffix(".tmp")
            fresh.write_text(json.dumps({"value": arguments["value"], "version": arguments["version"] + 1}))
            fresh.replace(state)
            return arguments["version"] + 1, b""
    return None, b""


images = "".join(f'<figure><img src="artifact:a{place}" alt="의자 {place}"></figure>' for place in range(2))
parameters = PublishParameters(
    title=f"캠핑 의자 {key}", content=f"<section><p>본문</p>{images}</section>", tags=["의자"]
)
context = ProcessContext(
    TaskIds(key, "r1", "o1", "w1", "publish", 1, "0" * 32), WorkerSettings(data=folder), TaskLog(log), ask
)
print(article_publish(context, parameters).model_dump_json())
