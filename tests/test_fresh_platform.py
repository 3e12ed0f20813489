"""A platform on an empty folder, as a stranger starts it: what is there once it says ready, and what is not."""

from collections.abc import Iterator

import httpx
import pytest
from platform_house import Platform, eventually, ok

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Started by nobody who chose a password."""
    found = Platform(tmp_path_factory.mktemp("fresh"), {"FLOWWEAVER_ADMIN_EMAIL": "", "FLOWWEAVER_ADMIN_PASSWORD": ""})
    found.start()
    yield found
    assert found.stop() == 0


def first_password(platform: Platform) -> str:
    return (platform.data / "secrets" / "admin-password").read_text().strip()


def test_the_task_types_are_known_the_moment_it_is_ready(fresh: Platform) -> None:
    """Asked within the first moments: the fixture returned when `endpoint.json` was there."""
    with fresh.client(fresh.log_in("admin@flowweaver.local", first_password(fresh))) as api:
        known = {item["type"] for item in ok(api.get("/task-types", params={"limit": 200}))["items"]}
    assert {"http", "test.increment", "keyword.trend", "article.publish"} <= known


def test_the_generated_password_is_told_once_on_the_terminal_and_is_in_no_log(fresh: Platform) -> None:
    kept = fresh.data / "secrets" / "admin-password"
    assert kept.stat().st_mode & 0o777 == 0o600
    password = first_password(fresh)
    assert fresh.log_in("admin@flowweaver.local", password)
    assert (fresh.data / "up.log").read_text().count(password) == 1
    logs = list((fresh.data / "logs").iterdir())
    assert len(logs) >= 9
    assert [path.name for path in logs if password.encode() in path.read_bytes()] == []


def test_a_blog_without_posts_is_a_friendly_page(fresh: Platform) -> None:
    for path in ("/blog", "/blog/", "/blog/index.html"):
        page = httpx.get(f"{fresh.base_url}{path}", follow_redirects=True)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
        assert "아직 발행된 글이 없습니다" in page.text
        assert "<ol" not in page.text
    assert httpx.get(f"{fresh.base_url}/blog/style.css").status_code == 200
    missing = httpx.get(f"{fresh.base_url}/blog/posts/none.html")
    assert missing.status_code == 404


def test_a_locked_log_in_says_for_how_long_through_the_gateway_too(fresh: Platform) -> None:
    body = {"email": "nobody@example.com", "password": "not the password"}

    def locked() -> httpx.Response | None:
        answer = httpx.post(f"{fresh.base_url}/v0/auth/login", json=body, headers={"Accept-Language": "en"}, timeout=20)
        return answer if answer.status_code == 429 else None

    answer = eventually(locked, 60, "the address is locked")
    assert answer.json()["code"] == "login_locked"
    assert int(answer.headers["retry-after"]) > 1


@pytest.mark.parametrize("mib", [1.5, 3.0], ids=["the service's refusal", "the gateway's"])
def test_too_large_a_body_is_the_same_document_whoever_refuses_it(fresh: Platform, mib: float) -> None:
    with fresh.client(fresh.log_in("admin@flowweaver.local", first_password(fresh))) as api:
        answer = api.post("/workflows", content=b" " * int(mib * 1024 * 1024))
    assert answer.status_code == 413
    found = answer.json()
    assert found.pop("trace_id") == answer.headers["x-trace-id"]
    assert found == {
        "type": "urn:flowweaver:problem:too_large",
        "title": "Content Too Large",
        "status": 413,
        "code": "too_large",
        "detail": "The request body is too large. At most 1048576 bytes.",
        "errors": [],
    }
    # the id leads to the line of whoever refused it
    refusing = "workflow-0" if mib < 2 else "identity-0"
    log = fresh.data / "logs" / f"{refusing}.log"
    eventually(lambda: answer.headers["x-trace-id"] in log.read_text(), 10, "it stands in the log")
