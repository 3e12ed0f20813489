"""One who asks the platform through its gateway, again and again until there is an answer."""

import asyncio
from typing import Any

import httpx

from bench.stack import ADMIN_EMAIL, ADMIN_PASSWORD

TRY_S = 10.0
TOKEN_S = 300.0


class Caller:
    """`unrouted`: answers of a gateway that did not know its routes yet."""

    def __init__(self, api: httpx.AsyncClient, token: str) -> None:
        self.unrouted = 0
        self._api = api
        self._token = token

    async def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, dict[str, Any], int]:
        """The answer's status and content, and how many tries it took."""
        pause, tries = 0.2, 0
        while True:
            tries += 1
            headers = {"Authorization": f"Bearer {self._token}"} | ({"Idempotency-Key": key} if key else {})
            try:
                answer = await self._api.request(method, f"/v0{path}", json=body, headers=headers)
            except httpx.TransportError:
                pass
            else:
                # what is no JSON is not of the platform: a gateway that has just been started answers 404 for some
                # tenths of a second, until it has read its routes
                ours = answer.headers.get("content-type", "").startswith(
                    ("application/problem+json", "application/json")
                )
                if not ours:
                    self.unrouted += answer.status_code == 404
                elif answer.status_code < 500 and answer.status_code not in (408, 429):
                    return answer.status_code, answer.json(), tries
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    async def renew_token(self) -> None:
        """Without end."""
        body = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        pause = TOKEN_S
        while True:
            await asyncio.sleep(pause)
            try:
                answer = await self._api.post("/v0/auth/login", json=body)
                self._token = answer.raise_for_status().json()["access_token"]
                pause = TOKEN_S
            except (httpx.HTTPError, ValueError):
                pause = 1.0
