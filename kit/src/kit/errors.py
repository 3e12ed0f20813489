"""Every expected failure is one of these; the edges translate them by one table each and nothing else decides a status.

Error
├── Invalid            the request itself is wrong: 422 · INVALID_ARGUMENT
├── Unauthenticated    nobody known asks: 401 · UNAUTHENTICATED
├── Forbidden          somebody known who may not: 403 · PERMISSION_DENIED
├── NotFound           unknown, or another organisation's: 404 · NOT_FOUND
├── Conflict           a duplicate, or the wrong state for it: 409 · FAILED_PRECONDITION
├── Outdated           If-Match named an older version: 412 · ABORTED
├── TooLarge           413 · RESOURCE_EXHAUSTED
├── Limited            too often: 429 · RESOURCE_EXHAUSTED
└── Unavailable        a peer does not answer: 503 · UNAVAILABLE

A `code` names the text in the package's messages.toml; `params` fill its placeholders.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import grpc


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong. `field` is a path such as `body.jobs[0].name`; `code` names the reason's text."""

    field: str
    code: str
    params: tuple[tuple[str, Any], ...] = ()


class Error(Exception):
    """An expected failure. `str()` is for logs; people read the catalogue's text for `code`."""

    http: ClassVar[int] = 500
    grpc_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(self, code: str, *, fields: tuple[FieldError, ...] = (), **params: Any) -> None:
        super().__init__(code, params, fields)
        self.code = code
        self.params = params
        self.fields = fields

    def __str__(self) -> str:
        parts = [self.code, *(f"{name}={value!r}" for name, value in self.params.items())]
        parts += [f"{field.field}:{field.code}" for field in self.fields]
        return " ".join(parts)


class Invalid(Error):
    http, grpc_code = 422, grpc.StatusCode.INVALID_ARGUMENT

    @classmethod
    def field(cls, field: str, code: str, **params: Any) -> "Invalid":
        """One wrong field, as the whole error."""
        return cls("invalid", fields=(FieldError(field, code, tuple(params.items())),))


class Unauthenticated(Error):
    http, grpc_code = 401, grpc.StatusCode.UNAUTHENTICATED


class Forbidden(Error):
    http, grpc_code = 403, grpc.StatusCode.PERMISSION_DENIED


class NotFound(Error):
    http, grpc_code = 404, grpc.StatusCode.NOT_FOUND


class Conflict(Error):
    http, grpc_code = 409, grpc.StatusCode.FAILED_PRECONDITION


class Outdated(Error):
    http, grpc_code = 412, grpc.StatusCode.ABORTED


class TooLarge(Error):
    http, grpc_code = 413, grpc.StatusCode.RESOURCE_EXHAUSTED


class Limited(Error):
    http, grpc_code = 429, grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(Error):
    http, grpc_code = 503, grpc.StatusCode.UNAVAILABLE


BY_GRPC_CODE: dict[grpc.StatusCode, type[Error]] = {
    kind.grpc_code: kind for kind in (Limited, Unavailable, Outdated, Conflict, NotFound, Forbidden, Invalid)
}
