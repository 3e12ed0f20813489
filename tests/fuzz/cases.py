"""One request: made up by schemathesis from the document, then pointed at real things as its kind wants it."""

import functools
import json
import random
import re
import tomllib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core import NotSet

from fuzz.things import Things
from kit.ids import new_id

HERE = Path(__file__).parent
ROUTES: dict[str, dict[str, Any]] = {
    name: row for name, row in tomllib.loads((HERE.parent / "routes.toml").read_text()).items() if name != "rpc"
}
MORE: dict[str, dict[str, Any]] = tomllib.loads((HERE / "bodies.toml").read_text())
# a made-up version is not the one that is there, and no event comes after a made-up number
UNLIKELY = ("if-match", "last-event-id")
# a trial may take as long as its caller says
LONGEST_TRIAL_S = 5


class Kind(StrEnum):
    """Where a request comes from, in the order of how likely it is to be taken."""

    SOUND = "sound"
    """What tests/routes.toml and bodies.toml know to be right, about real things."""
    LIKELY = "likely"
    """What the document allows, about real things, with the sound request's values for some fields."""
    ALLOWED = "allowed"
    """What the document allows; half of them about real things."""
    REFUSED = "refused"
    """What the document does not allow; half of them about real things."""


def load(document: dict[str, Any]) -> list[APIOperation]:
    """The operations of a document, in the order of their labels ("GET /v0/workflows")."""
    return _load(json.dumps(document))


@functools.cache
def _load(document: str) -> list[APIOperation]:
    """Once in a process: the strategies that an operation has built are used again."""
    config = schemathesis.Config.from_dict(
        {
            "generation": {"with-security-parameters": False},
            "max-stream-events": 1,
            # the token in a finding's curl line is a variable's name
            "output": {"sanitization": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_dict(json.loads(document), config=config)
    return sorted((found.ok() for found in schema.get_all_operations()), key=lambda operation: operation.label)


def service(operation: APIOperation) -> str:
    """The service that serves it: the merged document begins its id with that."""
    return str(operation.definition.raw["operationId"]).partition("_")[0]


def _says_more(operation: APIOperation) -> bool:
    """Whether a request consists of more than its path."""
    return bool(list(operation.query) or list(operation.headers) or list(operation.body))


def generate(operation: APIOperation, mode: GenerationMode, count: int, number: int) -> list[Case]:
    """`count` cases, the same ones for the same seed `number`; none where the document allows nothing wrong."""
    found: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def collect(case: Case) -> None:
        found.append(case)

    try:
        collect()
    except Unsatisfiable:
        return []
    return found


def _copy(case: Case) -> Case:
    return case.operation.Case(
        path_parameters=case.path_parameters,
        headers=case.headers,
        cookies=case.cookies,
        query=case.query,
        body=case.body,
        media_type=case.media_type,
    )


class Author:
    """Writes the requests for one operation at a time.

    `words` fills the placeholders of sound bodies; `make` makes a thing whose id has that name when none is left.
    """

    def __init__(self, things: Things, rng: random.Random, words: dict[str, str], make: Callable[[str], None]) -> None:
        self._things = things
        self._rng = rng
        self.words = words
        self._make = make
        self._kept: dict[tuple[str, int], list[Case]] = {}

    def write(self, operation: APIOperation, kind: Kind, count: int) -> Iterator[Case]:
        """`count` cases, each made ready only when it is asked for: what is real may have changed since."""
        if kind is Kind.SOUND or (kind is Kind.LIKELY and not _says_more(operation)):
            for _ in range(count):
                yield self.sound(operation)
            return
        for case in self._generated(operation, kind, count):
            if kind is Kind.LIKELY:
                self._make_likely(case)
            elif self._rng.random() < 0.5:
                self._make_real(case)
            self._bound(case)
            yield case

    def _generated(self, operation: APIOperation, kind: Kind, count: int) -> list[Case]:
        number = self._rng.getrandbits(32)
        if kind is Kind.REFUSED:
            return generate(operation, GenerationMode.NEGATIVE, count, number)
        if (kept := self._kept.pop((operation.label, count), None)) is not None:
            return kept
        found = generate(operation, GenerationMode.POSITIVE, count, number)
        if kind is Kind.LIKELY:
            # making one up takes longer than asking: those made likely are sent as they were, too
            self._kept = {(operation.label, count): [_copy(case) for case in found]}
        return found

    # --- of each kind -----------------------------------------------------------------------------------------------

    def sound(self, operation: APIOperation) -> Case:
        case = operation.Case()
        self._make_real(case, certainly=True)
        names = {parameter.name for parameter in operation.query}
        case.query = {**self._fill(ROUTES.get(operation.label, {}).get("query", {})), **self._real_query(operation)}
        if "limit" in names and self._rng.random() < 0.5:
            case.query["limit"] = self._rng.choice([1, 2, 50, 200])
        body = self._sound_body(operation.label)
        if body is not None:
            case.body, case.media_type = body, "application/json"
        return case

    def _make_likely(self, case: Case) -> None:
        self._make_real(case, certainly=True)
        case.query = {
            **{name: value for name, value in case.query.items() if name != "cursor"},
            **self._real_query(case.operation),
        }
        case.headers = type(case.headers)(
            {name: value for name, value in case.headers.items() if name.lower() not in UNLIKELY}
        )
        sound = self._sound_body(case.operation.label)
        if sound is None or isinstance(case.body, NotSet):
            return
        if isinstance(case.body, dict) and isinstance(sound, dict):
            # text that must mean something (a type, a cron, an address) is mostly the sound one's
            kept = {name: value for name, value in sound.items() if self._rng.random() < 0.8}
            case.body = {**self._with_real_ids(case.body), **kept}
        else:
            case.body = self._rng.choice([sound, self._with_real_ids(case.body)])

    def _make_real(self, case: Case, *, certainly: bool = False) -> None:
        """Names real things in the path, where there are any; otherwise something that is nowhere.

        `certainly`: one is made when there is none.
        """
        operation = case.operation
        names = [parameter.name for parameter in operation.path_parameters]
        changes = case.method.upper() in ("PUT", "PATCH", "DELETE") or case.path.endswith("/initial-password")
        found = self._things.offer(names, changes=changes)
        if certainly and changes and names and names[-1] not in found:
            self._make(names[-1])
            found = self._things.offer(names, changes=changes)
        case.path_parameters = {name: found.get(name) or self._other(name) for name in names}

    def _other(self, name: str) -> str:
        if name == "task_type":
            return self._rng.choice(["test.increment", "test.increment", "http", "test.fail", "product.match"])
        return new_id()

    def _real_query(self, operation: APIOperation) -> dict[str, str]:
        names = [parameter.name for parameter in operation.query if parameter.name.endswith("_id")]
        required = {parameter.name for parameter in operation.query if parameter.is_required}
        chosen = [name for name in names if name in required or self._rng.random() < 0.3]
        return {key: value for name in chosen for key, value in self._things.offer([name], changes=False).items()}

    @staticmethod
    def _bound(case: Case) -> None:
        """A made-up trial may ask for a minute of patience; the answer would be right, and the waiting for nothing."""
        body = case.body
        if isinstance(body, dict) and case.path.endswith("/try"):
            wanted = body.get("timeout_s", 30)
            if isinstance(wanted, (int, float)) and wanted >= LONGEST_TRIAL_S:
                case.body = {**body, "timeout_s": LONGEST_TRIAL_S}

    # --- bodies -----------------------------------------------------------------------------------------------------

    def _sound_body(self, label: str) -> Any:
        if label in MORE:
            return self._fill(self._rng.choice(MORE[label]["bodies"]))
        return self._fill(ROUTES.get(label, {}).get("body"))

    def _fill(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._fill(inner) for inner in value]
        return re.sub(r"(?<!\{)\{([a-z_]+)\}", self._word, value) if isinstance(value, str) else value

    def _word(self, match: re.Match[str]) -> str:
        name = match[1]
        if name == "new":
            # lower case: names of connections want it
            return new_id().lower()
        if name in self.words:
            return self.words[name]
        return self._things.offer([name], changes=False).get(name, match[0])

    def _with_real_ids(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: self._things.offer([name], changes=False).get(name, inner)
                if name.endswith("_id") and isinstance(inner, str)
                else self._with_real_ids(inner)
                for name, inner in value.items()
            }
        return [self._with_real_ids(inner) for inner in value] if isinstance(value, list) else value
