"""The API as programs use it: through the gateway, with a token that is renewed when it ends, errors as exceptions."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

_PAGE = 200


class ApiError(Exception):
    """The platform refused a request. `problem` is its RFC 9457 document, {} when it sent none."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem

    def __str__(self) -> str:
        fields = "; ".join(f"{item.get('field')}: {item.get('reason')}" for item in self.problem.get("errors", ()))
        detail = self.problem.get("detail") or self.problem.get("title") or ""
        return f"{self.status} {detail}{f' ({fields})' if fields else ''}"


class Unreachable(Exception):
    """Nobody answers at the platform's address."""


class Client:
    """Calls on behalf of one user. `certificate`: the gateway's own, when it speaks TLS."""

    def __init__(self, base_url: str, email: str, password: str, *, certificate: Path | None = None) -> None:
        trusted = ssl.create_default_context(cafile=certificate) if certificate else True
        self._http = httpx.Client(base_url=base_url, timeout=30.0, trust_env=False, verify=trusted)
        self._email = email
        self._password = password
        self._token: str | None = None

    def close(self) -> None:
        self._http.close()

    def log_in(self) -> None:
        """Raises ApiError (401) when the address or the password is wrong."""
        answer = self._send("POST", "/v0/auth/login", json={"email": self._email, "password": self._password})
        self._token = str(_content(answer)["access_token"])

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Any, *, key: str | None = None) -> Any:
        return self._call("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, json=body)

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=_PAGE, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _call(self, method: str, path: str, **request: Any) -> Any:
        if self._token is None:
            self.log_in()
        answer = self._authorised(method, path, **request)
        if answer.status_code == 401:
            # it ran out
            self.log_in()
            answer = self._authorised(method, path, **request)
        return _content(answer)

    def _authorised(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {self._token}"}
        return self._send(method, path, headers=headers, **request)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise Unreachable(str(error)) from error


def _content(answer: httpx.Response) -> Any:
    try:
        content = answer.json() if answer.content else {}
    except ValueError:
        content = {}
    if answer.is_error:
        raise ApiError(answer.status_code, content if isinstance(content, dict) else {})
    return content
