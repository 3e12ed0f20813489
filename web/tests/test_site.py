"""The web app's files: what may be kept, what is asked about again, and what is no page."""

from pathlib import Path

import httpx
import pytest

from web_server.__main__ import build_site

pytestmark = pytest.mark.anyio


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>FlowWeaver</title>", encoding="utf-8")
    (folder / "mark.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "assets" / "index-abc123.js").write_text("export {}", encoding="utf-8")
    return folder


async def ask(folder: Path, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=build_site(folder))
    async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/login", "/workflows", "/workflows/01abc", "/runs/01abc"])
async def test_each_address_of_the_app_is_its_page_which_is_asked_about_every_time(built: Path, path: str) -> None:
    answer = await ask(built, path)
    assert answer.status_code == 200
    assert "FlowWeaver" in answer.text
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_page_that_has_not_changed_is_not_sent_again(built: Path) -> None:
    first = await ask(built, "/")
    again = await ask(built, "/", **{"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


async def test_what_has_a_hash_in_its_name_may_be_kept_for_ever(built: Path) -> None:
    answer = await ask(built, "/assets/index-abc123.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_other_files_are_asked_about(built: Path) -> None:
    answer = await ask(built, "/mark.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-cache"


async def test_an_asset_of_an_older_build_is_gone_and_no_page_takes_its_place(built: Path) -> None:
    answer = await ask(built, "/assets/index-old.js")
    assert answer.status_code == 404
    assert "FlowWeaver" not in answer.text


async def test_nothing_outside_the_folder_is_served(built: Path) -> None:
    (built.parent / "secret.txt").write_text("secret", encoding="utf-8")
    answer = await ask(built, "/..%2fsecret.txt")
    assert "secret" not in answer.text


async def test_it_is_ready_before_the_app_is_built_and_says_how_to_build_it(tmp_path: Path) -> None:
    assert (await ask(tmp_path / "dist", "/readyz")).status_code == 200
    answer = await ask(tmp_path / "dist", "/workflows")
    assert answer.status_code == 503
    assert "make web" in answer.text


async def test_a_build_made_later_is_served_without_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    site = build_site(folder)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=site), base_url="http://web") as client:
        assert (await client.get("/")).status_code == 503
        folder.mkdir()
        (folder / "index.html").write_text("<title>FlowWeaver</title>", encoding="utf-8")
        assert (await client.get("/")).status_code == 200
