"""One connection's work: real things first, then requests of each kind for each operation, every answer looked at."""

import contextlib
import email
import email.policy
import random
import re
import secrets
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import requests
from platform_house import ADMIN_PASSWORD, Platform, created, eventually, ok
from schemathesis import APIOperation, Case, Response

from fuzz import answers
from fuzz.answers import Fault
from fuzz.cases import Author, Kind, load, service
from fuzz.things import Things

# each ends the session it is asked with, or changes how its caller logs in: asked by an administrator of its own
OWN_SESSION = {
    "POST /v0/auth/login", "POST /v0/auth/logout", "POST /v0/auth/refresh", "PATCH /v0/users/me",
}  # fmt: skip
# costs a password hash each, or a document of hundreds of kilobytes: asked less often
COSTLY = {*OWN_SESSION, "POST /v0/auth/register", "POST /v0/users/{user_id}/initial-password", "GET /openapi.json"}
# needs a run that goes on; resume one that is paused
LIVE_RUN = re.compile(r"/workflow-runs/\{run_id\}/(cancel|pause|resume)$")
SLEEP_S = 5
# of each kind and operation, in a round of `make fuzz`: about 3,000 requests
EACH = 12
FIRST = ("POST", "GET", "PUT", "PATCH", "DELETE")


@dataclass
class Finding:
    """The same fault of the same operation, however often; `curl` asks for the first again."""

    operation: str
    fault: Fault
    curl: str
    times: int = 1

    def __str__(self) -> str:
        head = f"{self.operation}: {self.fault.check}: {self.fault.summary} ({self.times}×)"
        return "\n  ".join(part for part in (head, _short(self.fault.detail), _short(self.curl, 4000)) if part)


@dataclass
class Tally:
    """How often each operation was answered with which status, by kind of request, and what was wrong."""

    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.answers.update(other.answers)
        for key, finding in other.findings.items():
            if key in self.findings:
                self.findings[key].times += finding.times
            else:
                self.findings[key] = finding

    def note(self, operation: str, fault: Fault, curl: str) -> None:
        key = (operation, fault.check, re.sub(r"[0-9a-fA-F]{8,}|\d+", "#", fault.summary + fault.detail[:120]))
        if key in self.findings:
            self.findings[key].times += 1
        else:
            self.findings[key] = Finding(operation, fault, curl)

    @property
    def requests(self) -> int:
        return sum(self.answers.values())

    @property
    def by_status(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (_, _, status), times in self.answers.items():
            found[str(status)] += times
        return dict(sorted(found.items()))

    @property
    def share_2xx(self) -> float:
        """Of the answers."""
        good = sum(times for (_, _, status), times in self.answers.items() if 200 <= status < 300)
        return good / max(1, self.requests)

    def of(self, operation: str) -> Counter[int]:
        """The statuses of an operation's answers."""
        found: Counter[int] = Counter()
        for (name, _, status), times in self.answers.items():
            if name == operation:
                found[status] += times
        return found


class Asker:
    """A session of somebody's, whose connection is kept. Its cookies are its own."""

    def __init__(self, platform: Platform, token: str) -> None:
        self.platform = platform
        self.http = requests.Session()
        self.http.trust_env = False
        self.token = token

    def ask(self, case: Case) -> Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        # a stream of events goes on as long as its run does, and may stay silent
        patience = 15 if case.path.endswith("/events") else 2 * answers.ANSWERED_WITHIN_S
        # a redirect is an answer of its own
        return case.call(self.platform.base_url, self.http, headers=headers, timeout=patience, allow_redirects=False)

    def close(self) -> None:
        self.http.close()


class Spare(Asker):
    """An administrator whose session may end at any time, and who is replaced when logging in fails."""

    def __init__(self, platform: Platform, things: Things) -> None:
        super().__init__(platform, "")
        self._things = things
        self.email = self.password = ""

    def prepare(self) -> None:
        """Logged in, as somebody."""
        if not self.token and not (self.email and self._log_in()):
            self._become_somebody()
            assert self._log_in(), "a new administrator cannot log in"

    def _log_in(self) -> bool:
        body = {"email": self.email, "password": self.password}
        answer = self.http.post(f"{self.platform.base_url}/v0/auth/login", json=body, timeout=60)
        self.token = answer.json()["access_token"] if answer.status_code == 200 else ""
        return bool(self.token)

    def _become_somebody(self) -> None:
        self.email, self.password = f"spare-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(12)
        with self.platform.client() as api:
            made = created(api.post("/auth/register", json={"name": "Spare", "email": self.email, "roles": ["admin"]}))
        self._things.protect(made["user_id"])
        first = eventually(lambda: _first_password(self.platform.data, self.email), 30, "the mail with the password")
        with self.platform.client(self.platform.log_in(self.email, first)) as api:
            change = {"current_password": first, "new_password": self.password}
            ok(api.patch("/users/me", json=change))

    def learn(self, case: Case, answer: Response) -> None:
        """What the answer to one of its requests means for its session."""
        label = case.operation.label
        if answer.status_code == 401 or (label == "POST /v0/auth/logout" and answer.status_code == 204):
            self.token = ""
        elif answer.status_code == 200 and label in ("POST /v0/auth/login", "POST /v0/auth/refresh"):
            self.token = answer.json()["access_token"]
        elif answer.status_code == 200 and label == "PATCH /v0/users/me":
            new = case.body.get("new_password") if isinstance(case.body, dict) else None
            # it may end other sessions, this one too
            self.password, self.token = (new, "") if new else (self.password, self.token)


def _first_password(data: Path, address: str) -> str | None:
    for file in sorted((data / "mail").glob("*.eml"), key=lambda found: found.stat().st_mtime_ns, reverse=True):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        if mail["To"] is not None and address in mail["To"]:
            [found] = re.findall(r"^Password: (.+)$", file.read_text(), re.MULTILINE)
            return str(found)
    return None


class Fuzzer:
    """Drives operations, one request after the other. The same `number` makes up the same requests."""

    def __init__(self, platform: Platform, document: dict[str, Any], number: int) -> None:
        self.platform = platform
        self._tally = Tally()
        self.operations = {operation.label: operation for operation in load(document)}
        self._rng = random.Random(number)
        self.things = Things(self._rng)
        self._canary = f"canary-{secrets.token_hex(8)}"
        self._secrets = answers.secrets_of(platform.data) | {self._canary, ADMIN_PASSWORD}
        self._admin = Asker(platform, platform.log_in())
        self._nobody = Asker(platform, "")
        self._spare = Spare(platform, self.things)
        self._author = Author(self.things, self._rng, {"canary": self._canary}, self._make)
        # which operation makes a thing whose id has that name
        self._makers: dict[str, str] = {}
        self._slow = self._asking = ""
        self._seed()

    def close(self) -> None:
        for asker in (self._admin, self._nobody, self._spare):
            asker.close()

    def _seed(self) -> None:
        """One thing of each kind that stays, so that every operation can succeed from the beginning."""
        platform, pin = self.platform, self.things.pin
        quick = platform.compose(
            [
                {"key": "one", "type": "test.increment", "parameters": {"n": 1}},
                {"key": "two", "type": "test.use"},
            ]
        )
        self._slow = platform.compose([{"key": "one", "type": "test.sleep", "parameters": {"seconds": SLEEP_S}}])
        self._asking = platform.compose([{"key": "one", "type": "human.approval"}])
        run = platform.finished(platform.run(quick))
        with platform.client() as api:
            detail = ok(api.get(f"/workflows/{quick}/detail"))
            [job] = detail["jobs"]
            me = ok(api.get("/users/me"))
            schedule = created(api.post(f"/workflows/{quick}/schedules", json={"cron": "0 8 1 1 *"}))
            connection = {
                "name": f"c-{secrets.token_hex(6)}",
                "kind": "smtp",
                "credentials": {"password": self._canary},
            }
            made = created(api.post("/connections", json=connection))
            token = created(api.post("/api-tokens", json={"name": "stays", "permissions": ["run:read"]}))
            for item in ok(api.get("/artifacts", params={"run_id": run["run_id"]}))["items"]:
                pin("artifact_id", artifact_id=item["artifact_id"], run_id=run["run_id"])
        self.things.protect(me["user_id"])
        pin("workflow_id", workflow_id=quick)
        pin("job_id", job_id=job["job_id"])
        pin("task_id", task_id=job["tasks"][0]["task_id"])
        pin("run_id", run_id=run["run_id"])
        for task in run["jobs"][0]["tasks"]:
            pin("task_run_id", task_run_id=task["task_run_id"], run_id=run["run_id"])
        pin("schedule_id", schedule_id=schedule["schedule_id"], workflow_id=quick)
        pin("connection_id", connection_id=made["connection_id"])
        pin("api_token_id", api_token_id=token["api_token_id"])
        pin("user_id", user_id=me["user_id"])
        pin("organization_id", organization_id=me["organization_id"])
        self._author.words |= {"pinned_task_id": job["tasks"][0]["task_id"], "pinned_job_id": job["job_id"]}

    # --- the round ----------------------------------------------------------------------------------------------------

    def drive(
        self, labels: Iterable[str], each: int, tally: Tally, *, until: float = float("inf"), most: int = 10**9
    ) -> None:
        """About `each` requests of each kind for every operation, until the clock shows `until` or `most` are sent.

        What comes of them is added to `tally`.
        """
        self._tally = tally
        ordered = sorted(labels, key=lambda label: FIRST.index(label.split()[0]) if label.split()[0] in FIRST else 9)
        for label in ordered:
            operation = self.operations[label]
            count = max(1, each // 4) if label in COSTLY else each
            for kind in Kind:
                for case in self._cases(operation, kind, count):
                    if time.monotonic() >= until or self._tally.requests >= most:
                        return
                    self._ask(case, kind)

    def _cases(self, operation: APIOperation, kind: Kind, count: int) -> Iterator[Case]:
        cases = self._author.write(operation, kind, count)
        if operation.label not in OWN_SESSION:
            yield from cases
            return
        while True:
            # the bodies speak of the caller, who must be known before each is made ready
            self._spare.prepare()
            self._author.words |= {"spare_email": self._spare.email, "spare_password": self._spare.password}
            case = next(cases, None)
            if case is None:
                return
            yield case

    def _ask(self, case: Case, kind: Kind) -> None:
        label = case.operation.label
        asker: Asker = self._admin
        if label in OWN_SESSION:
            asker = self._spare
        elif kind is Kind.ALLOWED and self._rng.random() < 0.1:
            asker = self._nobody
        if kind in (Kind.SOUND, Kind.LIKELY) and LIVE_RUN.search(label):
            case.path_parameters = {"run_id": self._live_run(paused=label.endswith("/resume"))}
        if kind in (Kind.SOUND, Kind.LIKELY) and label.endswith("/answer"):
            # one that waits for a person, as soon as its start is answered
            run_id = self.platform.run(self._asking)
            case.path_parameters = {"run_id": run_id, "task_run_id": f"{run_id}-0"}
            if kind is Kind.SOUND:
                case.body = {"approved": True}
        if kind in (Kind.SOUND, Kind.LIKELY) and label.endswith("/composite-tasks"):
            # one of its own, for nothing of it may be left where it was
            case.path_parameters = {"workflow_id": self._pair()}
        self._judge(case, kind, asker)

    def _pair(self) -> str:
        """A workflow of two tasks, the second of which reads the first."""
        read = {"n": "${{ tasks.one.output.n + size(run.input) }}"}
        return self.platform.compose(
            [
                {"key": "one", "type": "test.increment", "parameters": {"n": 1}},
                {"key": "two", "type": "test.increment", "parameters": read},
            ]
        )

    def _judge(self, case: Case, kind: Kind, asker: Asker) -> None:
        label = case.operation.label
        known = bool(asker.token)
        try:
            answer = asker.ask(case)
        except requests.exceptions.RequestException as error:
            self._tally.answers[label, kind, 0] += 1
            found = [Fault("no answer", type(error).__name__, str(error)[:300])]
        else:
            self._tally.answers[label, kind, answer.status_code] += 1
            found = list(answers.faults(case, answer, self._secrets, wrong=kind is Kind.REFUSED))
            if not known and answer.status_code != 401 and case.operation.definition.raw.get("security") != []:
                found.append(Fault("open", f"{answer.status_code} for nobody"))
            self._learn(case, answer, asker)
        for fault in found:
            self._tally.note(label, fault, _curl(case, self.platform.base_url, known))

    def _learn(self, case: Case, answer: Response, asker: Asker) -> None:
        if isinstance(asker, Spare):
            asker.learn(case, answer)
        if not 200 <= answer.status_code < 300:
            return
        if case.method.upper() == "DELETE" and case.path_parameters:
            self.things.forget(str(list(case.path_parameters.values())[-1]))
        elif (answer.headers.get("content-type") or [""])[0].startswith("application/json") and "/v0/" in case.path:
            # what is no JSON was noted already
            with contextlib.suppress(ValueError):
                self.things.learn(answer.json())
                if answer.status_code == 201:
                    self._note_maker(case, answer)

    def _note_maker(self, case: Case, answer: Response) -> None:
        made = answer.headers.get("location", [""])[0].rpartition("/")[2]
        for name, value in answer.json().items():
            if made and value == made:
                self._makers[name] = case.operation.label

    def _make(self, name: str) -> None:
        if name in self._makers:
            self._judge(self._author.sound(self.operations[self._makers[name]]), Kind.SOUND, self._admin)

    def _live_run(self, *, paused: bool) -> str:
        """A run that goes on for a few seconds."""
        run_id = self.platform.run(self._slow)
        if paused:
            with self.platform.client() as api:
                answer: httpx.Response = api.post(f"/workflow-runs/{run_id}/pause")
                assert answer.status_code in (202, 409), answer.text
        return run_id


def drive_round(data: Path, document: dict[str, Any], number: int, until: float, most: int) -> Tally:
    """A round over all operations in a process of its own. `until`: by the wall clock, which processes share."""
    warnings.simplefilter("ignore")
    tally = Tally()
    try:
        with contextlib.closing(Fuzzer(Platform(data), document, number)) as fuzzer:
            labels = list(fuzzer.operations)
            # a round may end early, each at other operations
            random.Random(number).shuffle(labels)
            fuzzer.drive(labels, EACH, tally, until=time.monotonic() + until - time.time(), most=most)
    except (AssertionError, OSError, httpx.HTTPError) as error:
        # what the requests need (a run that goes on, a session) could not be had
        tally.note("the preparations", Fault("unserved", type(error).__name__, str(error)[:600]), "")
    return tally


def _short(text: str, longest: int = 700) -> str:
    """On one line, and no longer than that."""
    line = re.sub(r"\s+", " ", text)
    return line if len(line) <= longest else f"{line[:longest]}… ({len(line)} characters)"


def _curl(case: Case, base_url: str, known: bool) -> str:
    headers = {"Authorization": "Bearer $TOKEN"} if known else {}
    try:
        line = case.as_curl_command(headers=headers, base_url=base_url)
    except Exception as error:
        return f"(no curl line: {error})"
    # in single quotes the shell would not fill it in
    return line.replace("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"')


def by_service(document: dict[str, Any]) -> dict[str, list[str]]:
    """The operations of each service."""
    found: dict[str, list[str]] = defaultdict(list)
    for operation in load(document):
        found[service(operation)].append(operation.label)
    return dict(found)
