"""article.publish: one post per task run, through every kill; pages a person can read and nothing can run in."""

import json
import random
import signal
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from filelock import FileLock, Timeout

from worker_service import blog
from worker_service.blog import Blog, Draft, ImageRefused, slug_of
from worker_service.sdk import ProcessContext, StateConflict, TaskError, TaskIds, TaskLog, load, texts
from worker_service.settings import WorkerSettings
from worker_service.tasks import article_publish as module
from worker_service.tasks.article_publish import PublishOutput, PublishParameters, article_publish

PUBLISH_ONCE = Path(__file__).parent / "data" / "publish_once.py"
STEPS = [
    ("begun", 1),
    ("image_stored", 1),
    ("image_stored", 2),
    ("images_stored", 1),
    ("post_stored", 1),
    ("page_stored", 1),
    ("index_stored", 1),
    ("remembered", 1),
]


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\x80")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class Worker:
    """What a worker answers a task: artifacts from a dict, state under compare-and-set, notes kept."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = WorkerSettings(data=folder, **settings)
        self.artifacts = {"a1": png(), "제품 1/그림.png": png()}
        self.state: dict[tuple[str, str, str], tuple[Any, int]] = {}
        self.notes: dict[str, Any] = {}
        self.rivals = 0

    def context(self, key: str, organization: str = "o1") -> ProcessContext:
        def ask(wish: str, arguments: dict[str, Any], content: bytes) -> tuple[Any, bytes]:
            entry = (organization, arguments.get("namespace", ""), arguments.get("key", ""))
            value, version = self.state.get(entry, (None, 0))
            match wish:
                case "artifact.get":
                    if arguments["path"] not in self.artifacts:
                        raise TaskError("artifact_missing", arguments["path"])
                    return None, self.artifacts[arguments["path"]]
                case "state.get":
                    return ({"value": value, "version": version} if version else None), b""
                case "state.put":
                    if self.rivals:
                        self.rivals -= 1
                        self.state[entry] = (value or [], version + 1)
                        raise StateConflict
                    self.state[entry] = (arguments["value"], version + 1)
                    return version + 1, b""
                case "effect.note":
                    self.notes[key] = arguments["value"]
            return None, b""

        ids = TaskIds(key, "r1", organization, "w1", "publish", 1, "0" * 32)
        return ProcessContext(ids, self.settings, TaskLog(lambda level, event, fields: None), ask)

    def publish(self, key: str, **changed: Any) -> PublishOutput:
        content = '<section><h2>가격</h2><p>52,200원</p><figure><img src="artifact:a1" alt="의자"></figure></section>'
        given = {"title": "캠핑 의자 & <가격>", "content": content, "tags": ["캠핑", "의자"], **changed}
        return article_publish(self.context(key), PublishParameters(**given))

    @property
    def folder(self) -> Path:
        return self.settings.blog_folder()

    def page(self, output: PublishOutput) -> BeautifulSoup:
        return BeautifulSoup((self.folder / output.post_path).read_text(), "lxml")

    def index(self) -> BeautifulSoup:
        return BeautifulSoup((self.folder / "index.html").read_text(), "lxml")


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path, blog_base_url="http://127.0.0.1:9000/blog")


def deliver(folder: Path, key: str, *fatal: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PUBLISH_ONCE), str(folder), key, *fatal]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> dict[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return dict(json.loads(out))


def posts_of(folder: Path) -> list[str]:
    pages = sorted(path.name for path in (folder / "blog" / "posts").glob("*.html"))
    index = BeautifulSoup((folder / "blog" / "index.html").read_text(), "lxml")
    listed = sorted(link["href"].removeprefix("posts/") for link in index.select(".posts h2 a"))
    assert listed == pages
    return pages


@pytest.mark.process
@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_kill_at_any_step_leaves_one_post_after_the_next_delivery(tmp_path: Path, step: str, nth: int) -> None:
    (tmp_path / "image.png").write_bytes(png())
    killed = deliver(tmp_path, "k1", step, str(nth))
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    stored = list((tmp_path / "blog" / "posts").glob("*/post.json"))
    first_time = json.loads(stored[0].read_text())["published_at"] if stored else None

    again = finished(deliver(tmp_path, "k1"))
    assert posts_of(tmp_path) == [Path(again["post_path"]).name]
    if first_time is not None:
        assert again["published_at"] == first_time
    page = BeautifulSoup((tmp_path / "blog" / again["post_path"]).read_text(), "lxml")
    assert all((tmp_path / "blog" / "posts" / image["src"]).read_bytes() == png() for image in page.select("img"))
    assert len(page.select("img")) == 2


@pytest.mark.process
def test_kills_at_random_moments_leave_one_post(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png())
    chance = random.Random(20)
    for _ in range(6):
        process = deliver(tmp_path, "k1")
        try:
            process.communicate(timeout=chance.uniform(0.3, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    again = finished(deliver(tmp_path, "k1"))
    assert posts_of(tmp_path) == [Path(again["post_path"]).name]


@pytest.mark.process
def test_workers_at_once_store_each_post_once_and_the_index_lists_all(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png())
    keys = ["k1", "k2", "k1", "k3"]
    outputs = [finished(process) for process in [deliver(tmp_path, key) for key in keys]]
    assert outputs[0] == outputs[2]
    assert len(posts_of(tmp_path)) == 3


def test_a_second_delivery_answers_with_the_first_post(worker: Worker) -> None:
    first = worker.publish("k1")
    again = worker.publish("k1", title="다른 제목", content="<p>다른 글</p>")
    assert again == first
    assert "다른" not in worker.page(first).get_text()
    assert worker.publish("k2").post_url != first.post_url
    assert worker.notes["k1"] == {"slug": slug_of("k1"), "platform": "folder"}


def test_a_post_says_where_and_when_and_is_shared_with_title_and_image(worker: Worker) -> None:
    output = worker.publish("k1")
    assert output.post_url == f"http://127.0.0.1:9000/blog/{output.post_path}"
    page = worker.page(output)
    properties = {tag["property"]: tag["content"] for tag in page.select("meta[property]")}
    assert properties["og:title"] == page.h1.get_text() == "캠핑 의자 & <가격>"
    assert properties["og:url"] == output.post_url
    assert properties["og:image"] == f"http://127.0.0.1:9000/blog/posts/{slug_of('k1')}/image-1.png"
    assert properties["article:published_time"] == output.published_at
    assert [tag.get_text() for tag in page.select(".tags li")] == ["#캠핑", "#의자"]
    assert page.html["lang"] == "ko"


def test_images_are_copied_into_the_posts_own_folder(worker: Worker) -> None:
    image = '<img src="artifact:%EC%A0%9C%ED%92%88%201/%EA%B7%B8%EB%A6%BC.png" alt="의자">'
    output = worker.publish("k1", content=f"<p>글</p>{image}")
    (shown,) = worker.page(output).select("main img")
    assert (worker.folder / "posts" / shown["src"]).read_bytes() == png()
    assert shown["alt"] == "의자"


def test_the_index_lists_posts_newest_first_and_forgets_removed_ones(worker: Worker) -> None:
    outputs = []
    for day, key in enumerate(["k1", "k2", "k3"], start=1):
        draft = Draft(f"글 {key}", "<p>본문</p>", ())
        says = Blog(worker.folder, "/blog", lambda code, **params: texts(module.__name__)[code]["ko"].format(**params))
        outputs.append(says.publish(key, draft, f"2026-11-0{day}T00:00:00.000Z", lambda path: b"", lambda step: None))
    assert [link.get_text() for link in worker.index().select(".posts h2 a")] == ["글 k3", "글 k2", "글 k1"]
    (worker.folder / "posts" / outputs[1].slug / "post.json").unlink()
    worker.publish("k3")
    assert [link.get_text() for link in worker.index().select(".posts h2 a")] == ["글 k3", "글 k1"]


def test_a_lost_page_is_made_again_from_its_post(worker: Worker) -> None:
    output = worker.publish("k1")
    page = worker.folder / output.post_path
    before = page.read_text()
    page.unlink()
    worker.publish("k1")
    assert page.read_text() == before


def test_nothing_that_runs_or_reaches_out_is_published(worker: Worker) -> None:
    attack = (
        "<script>alert(1)</script><img src='https://evil.example/x.png'><img src=x onerror=y><iframe src=z></iframe>"
    )
    output = worker.publish("k1", title="<script>t</script>", content=f"<p>글</p>{attack}", tags=["<b>t</b>"])
    page = worker.page(output)
    assert page.select("script, iframe, main img, b") == []
    assert "evil" not in str(page)
    assert worker.index().select("script") == []


@pytest.mark.parametrize("platform", ["tistory", "naver_blog", "blogger", "wordpress"])
def test_a_platform_without_a_connection_fails_and_nothing_is_published(worker: Worker, platform: str) -> None:
    with pytest.raises(TaskError, match="platform_not_configured"):
        worker.publish("k1", platform=platform)
    assert not worker.folder.exists()


@pytest.mark.parametrize(("changed", "field"), [({"title": "  "}, "title"), ({"content": "<p> </p>"}, "content")])
def test_an_empty_article_is_refused(worker: Worker, changed: dict[str, str], field: str) -> None:
    with pytest.raises(TaskError, match="article_empty") as caught:
        worker.publish("k1", **changed)
    assert caught.value.field == field


def test_an_image_that_is_missing_or_no_raster_image_stops_the_post(worker: Worker) -> None:
    with pytest.raises(TaskError, match="artifact_missing"):
        worker.publish("k1", content='<p>글</p><img src="artifact:gone">')
    worker.artifacts["svg"] = b"<svg onload='alert(1)'/>"
    with pytest.raises(TaskError, match="image_refused"):
        worker.publish("k1", content='<p>글</p><img src="artifact:svg">')
    assert list((worker.folder / "posts").glob("*/post.json")) == []


def test_published_articles_are_remembered_once_for_their_organisation(worker: Worker) -> None:
    worker.rivals = 1
    first = worker.publish("k1")
    worker.publish("k1")
    worker.publish("k2")
    (remembered, _) = worker.state[("o1", "article.publish", "recent")]
    assert [entry["slug"] for entry in remembered] == [slug_of("k2"), slug_of("k1")]
    assert remembered[1]["post_url"] == first.post_url
    assert Counter(key[0] for key in worker.state) == {"o1": 1}


def test_a_blog_that_stays_locked_is_a_retryable_error(worker: Worker, tmp_path: Path) -> None:
    assert load(module.__name__, "article.publish").retryable("blog_busy")
    says = Blog(worker.folder, "/blog", lambda code, **params: code, lock_wait_s=0.05)
    worker.folder.mkdir()
    with FileLock(worker.folder / blog.LOCK), pytest.raises(Timeout):
        says.publish(
            "k1", Draft("글", "<p>글</p>", ()), "2026-11-01T00:00:00.000Z", lambda path: b"", lambda step: None
        )


def test_an_image_refused_names_the_artifact(worker: Worker) -> None:
    with pytest.raises(ImageRefused, match="a9"):
        blog._suffix("a9", b"%PDF")
