"""The demo blog: static pages in a folder, served under /blog/.

A post is its `posts/<slug>/post.json`; pages and the index are made from these and can be made again at any time.
The rule kept here: the slug comes from the idempotency key, and post.json is written whole or not at all. So whoever
publishes under the same key again, after a kill at any point, finds the post or stores it, and there is one.

    index.html   style.css   icon.svg   posts/<slug>.html   posts/<slug>/post.json   posts/<slug>/image-1.png
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from filelock import FileLock

from kit.files import write_whole
from worker_service.domain import writer

if TYPE_CHECKING:
    from jinja2 import Environment

INDEX = "index.html"
LOCK = ".publish.lock"
SEOUL = ZoneInfo("Asia/Seoul")
EXCERPT = 160

# raster images only: an SVG opened on its own would run its scripts at the platform's address
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}

Say = Callable[..., str]
Step = Callable[[str], None]


class ImageRefused(Exception):
    """The artifact is no raster image that a browser shows."""


@dataclass(frozen=True)
class Draft:
    """An article as a task hands it over: `content` may be any HTML, images as `artifact:<id or path>`."""

    title: str
    content: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Post:
    """A stored post: `content` is sanitised and shows its own copies of the images; `published_at` is ISO 8601, UTC."""

    slug: str
    key_sha256: str
    title: str
    content: str
    tags: tuple[str, ...]
    images: tuple[str, ...]
    published_at: str

    @property
    def path(self) -> str:
        """The page, from the blog's folder."""
        return f"posts/{self.slug}.html"

    @property
    def excerpt(self) -> str:
        text = writer.plain_text(self.content)
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1].rstrip() + "…"

    @property
    def published(self) -> datetime:
        """In Seoul, where the blog's readers are."""
        return datetime.fromisoformat(self.published_at).astimezone(SEOUL)


@dataclass(frozen=True)
class Blog:
    """`folder` holds the pages, `address` is where they are served, without a slash at its end."""

    folder: Path
    address: str
    say: Say
    lock_wait_s: float = 60.0

    def publish(
        self, key: str, draft: Draft, published_at: str, read_artifact: Callable[[str], bytes], step: Step
    ) -> Post:
        """Stores the post once per key and brings its page and the index up to date; `step` hears each durable step.

        Raises filelock.Timeout while other workers publish for longer than a minute, ImageRefused, and what
        `read_artifact` raises.
        """
        slug = slug_of(key)
        home = self.folder / "posts" / slug
        home.mkdir(parents=True, exist_ok=True)
        step("begun")
        with FileLock(self.folder / LOCK, timeout=self.lock_wait_s):
            post = self.find(slug)
            if post is None:
                post = _store(home, key, draft, published_at, read_artifact, step)
            write_whole(self.folder / post.path, self._page("post.html", post=post, root="../").encode())
            step("page_stored")
            self._write_index()
            step("index_stored")
        return post

    def open(self) -> None:
        """Makes the index when there is none: before the first post it says so. Raises filelock.Timeout."""
        with FileLock(self.folder / LOCK, timeout=self.lock_wait_s):
            if not (self.folder / INDEX).exists():
                self._write_index()

    def find(self, slug: str) -> Post | None:
        return _load(self.folder / "posts" / slug / "post.json")

    def posts(self) -> list[Post]:
        """Newest first."""
        found = [_load(path) for path in (self.folder / "posts").glob("*/post.json")]
        return sorted((post for post in found if post), key=lambda post: (post.published_at, post.slug), reverse=True)

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def _write_index(self) -> None:
        for name in ("style.css", "icon.svg"):
            write_whole(self.folder / name, _data(name).encode())
        write_whole(self.folder / INDEX, self._page(INDEX, posts=self.posts(), root="").encode())

    def _page(self, name: str, **values: object) -> str:
        return _templates().get_template(name).render(blog=self, say=self.say, **values)


def slug_of(key: str) -> str:
    """The same for every delivery of a task run, and says nothing about it."""
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def _store(
    home: Path, key: str, draft: Draft, published_at: str, read_artifact: Callable[[str], bytes], step: Step
) -> Post:
    """Images first, post.json last: a post that can be found is whole."""
    names: dict[str, str] = {}
    for artifact in writer.artifacts_in(draft.content)[: writer.MOST_IMAGES]:
        content = read_artifact(artifact)
        names[artifact] = f"image-{len(names) + 1}.{_suffix(artifact, content)}"
        write_whole(home / names[artifact], content)
        step("image_stored")

    def place(artifact: str) -> str | None:
        return f"{home.name}/{names[artifact]}" if artifact in names else None

    post = Post(
        slug=home.name,
        key_sha256=hashlib.sha256(key.encode()).hexdigest(),
        title=draft.title,
        content=writer.sanitise_article(draft.content, place),
        tags=draft.tags,
        images=tuple(f"posts/{home.name}/{name}" for name in names.values()),
        published_at=published_at,
    )
    step("images_stored")
    write_whole(home / "post.json", json.dumps(asdict(post), ensure_ascii=False, indent=1).encode())
    step("post_stored")
    return post


def _load(path: Path) -> Post | None:
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return Post(**{**stored, "tags": tuple(stored["tags"]), "images": tuple(stored["images"])})


def _suffix(artifact: str, content: bytes) -> str:
    for signature, suffix in _SIGNATURES.items():
        if content.startswith(signature):
            return suffix
    raise ImageRefused(artifact)


def _data(name: str) -> str:
    return files("worker_service").joinpath(f"data/blog/{name}").read_text(encoding="utf-8")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_data), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
