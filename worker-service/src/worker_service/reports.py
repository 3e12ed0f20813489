"""What a worker tells the engine: each result until it is answered, and the lines of the execution log.

A result goes to the replica that dispatched the task, whose cache is warm; when that one does not answer, to whichever
does. An answer other than ok means that nothing was committed: ask again.
"""

import asyncio
import itertools
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit import logs
from worker_service.sdk import TaskIds
from worker_service.wire import Outbox

ANSWER_S = 2.0
PATIENCE = 4
"""An answer is waited for so many times longer at most: asking an engine that is behind again only adds to its work."""
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 2.0

LINES_AT_ONCE = 50
FLUSH_S = 0.5
LINES_MOST = 10_000
_LINE_BYTES = 16 * 1024


@dataclass(slots=True)
class _Question:
    subjects: tuple[str, ...]
    body: bytes
    answered: Callable[[], None]
    asked: int = 0
    late: int = 0
    """How often in a row somebody was there and did not answer in time."""
    timer: asyncio.TimerHandle | None = None


class Results:
    """Asks each result again and again until the engine says that it is committed."""

    def __init__(self, outbox: Outbox, *, answer_s: float = ANSWER_S) -> None:
        self._outbox = outbox
        self._answer_s = answer_s
        self._questions: dict[str, _Question] = {}
        self._tokens = itertools.count()
        self._prefix = ""
        self._loop = asyncio.get_running_loop()

    async def connect(self, client: Client) -> None:
        self._prefix = client.new_inbox()
        await client.subscribe(f"{self._prefix}.*", cb=self._on_answer)

    @property
    def unanswered(self) -> int:
        return len(self._questions)

    def report(self, reply: str, body: bytes, answered: Callable[[], None]) -> None:
        token = str(next(self._tokens))
        self._questions[token] = _Question((f"{reply}.result", "engine.result"), body, answered)
        self._ask(token)

    def forget_all(self) -> None:
        """What is not answered by now will be redelivered to another worker."""
        for question in self._questions.values():
            if question.timer is not None:
                question.timer.cancel()
        self._questions.clear()

    def _ask(self, token: str) -> None:
        question = self._questions.get(token)
        if question is None:
            return
        subject = question.subjects[question.asked % len(question.subjects)]
        question.asked += 1
        patience = min(2 ** (question.late // len(question.subjects)), PATIENCE)
        question.timer = self._loop.call_later(self._answer_s * patience, self._again, token, True)
        self._outbox.send(subject, question.body, f"{self._prefix}.{token}")

    def _again(self, token: str, at_once: bool) -> None:
        question = self._questions.get(token)
        if question is None:
            return
        if question.timer is not None:
            question.timer.cancel()
        question.late = question.late + 1 if at_once and self._outbox.connected else 0
        rounds = question.asked // len(question.subjects)
        if at_once or question.asked % len(question.subjects):
            delay = 0.0
        else:
            delay = min(_FIRST_DELAY_S * 2**rounds, _LONGEST_DELAY_S) * (0.5 + random.random())  # noqa: S311
        question.timer = self._loop.call_later(delay, self._ask, token)

    async def _on_answer(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        question = self._questions.get(token)
        if question is None:
            return
        if _is_ok(message):
            if question.timer is not None:
                question.timer.cancel()
            del self._questions[token]
            question.answered()
        else:
            # no responder, or not committed
            self._again(token, False)


def _is_ok(message: Msg) -> bool:
    try:
        return bool(orjson.loads(message.data)["ok"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False


@dataclass(slots=True)
class Lines:
    """The lines of one attempt that are not sent yet. Its task may be on another thread, or on several.

    Of its progress only the latest waits: one that was not sent is replaced by the next.
    """

    ids: TaskIds
    hidden: set[str] = field(default_factory=set)
    waiting: deque[tuple[int, str, str, Any]] = field(default_factory=deque)
    written: int = 0
    sent: int = 0
    progress: tuple[int, float, str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, at: int, level: str, event: str, fields: dict[str, Any]) -> bool:
        """Whether this is the first line that waits, so that somebody must be told. Lines beyond 10,000 are dropped."""
        with self._lock:
            self.written += 1
            if self.written > LINES_MOST:
                return False
            if self.written == LINES_MOST:
                level, event, fields = "warning", "log_truncated", {}
            self.waiting.append((at, level, self._hide(event[:500]), self._clean(fields)))
            return len(self.waiting) in (1, LINES_AT_ONCE)

    def tell_progress(self, at: int, fraction: float, message: str) -> bool:
        """Whether no progress waited yet, so that somebody must be told. The 10,000 lines do not count these."""
        with self._lock:
            first = self.progress is None
            self.progress = (at, fraction, message)
            return first

    def take_progress(self) -> None:
        """Makes a line of the progress that waits."""
        with self._lock:
            if self.progress is not None:
                at, fraction, message = self.progress
                self.progress = None
                self.waiting.append((at, "info", "progress", self._clean({"fraction": fraction, "message": message})))

    def crashed(self, at: int, exception: str, traceback: str) -> bool:
        """An exception that is a bug: people see its class beside the run. As `write`."""
        return self.write(at, "error", "task_crashed", {"exception": exception})

    def _clean(self, fields: dict[str, Any]) -> Any:
        """The fields as JSON, secrets masked by name and by value, within bounds."""
        try:
            options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
            text = orjson.dumps(logs.mask(fields), default=str, option=options).decode()
        except (TypeError, ValueError) as error:
            return {"unprintable": type(error).__name__}
        text = self._hide(text)
        if len(text) > _LINE_BYTES:
            return {"truncated": text[: _LINE_BYTES // 2]}
        return orjson.loads(text)

    def _hide(self, text: str) -> str:
        for secret in self.hidden:
            text = text.replace(secret, "***")
        return text

    def hide(self, values: Iterable[Any]) -> None:
        """From now on these values appear in no line. Very short ones would mask ordinary words."""
        for value in values:
            if isinstance(value, str) and len(value) >= 4:
                # a new set: another thread may be looking through the old one
                self.hidden = self.hidden | {value, orjson.dumps(value)[1:-1].decode()}


def send_lines(outbox: Outbox, lines: Lines, worker: str) -> None:
    """Publishes what waits, in portions."""
    while lines.waiting:
        portion: list[dict[str, Any]] = []
        while lines.waiting and len(portion) < LINES_AT_ONCE:
            at, level, event, fields = lines.waiting.popleft()
            lines.sent += 1
            portion.append({"seq": lines.sent, "at": at, "level": level, "event": event, "fields": fields})
        said = {
            "organization_id": lines.ids.organization_id,
            "run_id": lines.ids.run_id,
            "task_run_id": lines.ids.task_run_id,
            "attempt": lines.ids.attempt,
            "worker": worker,
            "lines": portion,
        }
        outbox.send("engine.log", orjson.dumps(said))
