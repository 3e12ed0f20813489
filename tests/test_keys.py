"""Rotating the signing keys of a platform that runs: nobody is logged out, and nothing is restarted."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from jose import jwt
from platform_house import Platform, eventually

pytestmark = pytest.mark.process
PROGRAM = str(Path(sys.executable).with_name("flowweaver"))
# a service each behind the same gateway: all of them verify for themselves
PATHS = ("/users/me", "/workflows", "/workflow-runs", "/schedules", "/artifacts")


def rotate(**environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
    return subprocess.run(
        [PROGRAM, "keys", "rotate"],
        env={**kept, "FLOWWEAVER_LANGUAGE": "en", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def served(platform: Platform) -> set[str]:
    return {key["kid"] for key in httpx.get(f"{platform.base_url}/.well-known/jwks.json").json()["keys"]}


def refused(platform: Platform, token: str) -> list[str]:
    with platform.client(token) as api:
        return [path for path in PATHS if api.get(path).status_code != 200]


def check_rotation(platform: Platform, **where: str) -> None:
    """Rotates; a token of before and new ones work all the while; in the end only the new key signs."""
    before = platform.log_in()
    assert refused(platform, before) == []
    pids = {child["pid"] for child in platform.endpoint["children"]}
    done = rotate(FLOWWEAVER_DATA=str(platform.data), **where)
    assert done.returncode == 0, done.stderr
    new = done.stdout.strip()
    began = time.monotonic()
    assert served(platform) >= {kid_of(before), new}

    def turned() -> str | None:
        token = platform.log_in()
        assert refused(platform, token) == []
        return token if kid_of(token) == new else None

    after = eventually(turned, 60, "new tokens carry the new key's id")
    assert time.monotonic() - began > 5, "other services may not know it yet"
    for _ in range(4):
        # other replicas too
        eventually(lambda: kid_of(platform.log_in()) == new, 30, "it stays so")
    assert refused(platform, before) == refused(platform, after) == []
    assert {child["pid"] for child in platform.endpoint["children"]} == pids


def test_a_new_key_signs_and_tokens_of_before_work_on(own_platform: Callable[..., Platform]) -> None:
    platform = own_platform()
    check_rotation(platform)
    # and a token of the old key ends with itself, not with the key
    first = platform.log_in()
    check_rotation(platform)
    assert refused(platform, first) == []
    assert len(served(platform)) == 3


def test_all_replicas_turn_to_the_new_key(own_platform: Callable[..., Platform], own_mariadb_port: int) -> None:
    where = {"FLOWWEAVER_DATABASE_URL": f"mysql+pymysql://root@127.0.0.1:{own_mariadb_port}"}
    platform = own_platform(FLOWWEAVER_REPLICAS="identity=2,workflow=2", **where)
    check_rotation(platform, **where)

    def both_turned() -> bool:
        logs = [(platform.data / "logs" / f"identity-{number}.log").read_text() for number in range(2)]
        return all("signing_key_turned" in log for log in logs)

    eventually(both_turned, 30, "both replicas sign with it")


def test_where_nothing_ever_started_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    done = rotate(FLOWWEAVER_DATA=str(tmp_path))
    assert done.returncode == 3
    assert "no key to rotate" in done.stderr
    assert list(tmp_path.iterdir()) == []
