"""`article.publish`: an article goes out once per task run. The rule kept here: whatever was delivered again, and
wherever the process was killed, the post of this idempotency key is found before another is made.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from worker_service.domain import writer
from worker_service.sdk import (
    ErrorCode,
    Output,
    Parameters,
    ProcessContext,
    StateConflict,
    StateEntry,
    TaskError,
    task_type,
    texts,
)
from worker_service.settings import WorkerSettings

if TYPE_CHECKING:
    from worker_service.blog import Blog

# what article.generate may retrieve from: the organisation's latest posts, and how much of each
RECENT = 50
RECENT_TEXT = 600
TRIES = 20


class PublishParameters(Parameters):
    title: str = Field(max_length=300)
    content: str = Field(
        max_length=200_000, description="HTML; images of the artifact store as `artifact:<id or path>`."
    )
    tags: list[str] = Field(default=[], max_length=30)
    platform: Literal["folder", "tistory", "naver_blog", "blogger", "wordpress"] = "folder"
    account: str | None = Field(default=None, description="Which account of the platform; `folder` has none.")
    connection: str | None = Field(default=None, description="Name of the connection that holds its credentials.")


class PublishOutput(Output):
    post_url: str
    published_at: str = Field(description="ISO 8601, UTC. A second delivery answers the first one's time.")
    post_path: str = Field(description="The page, from the blog's folder: `posts/<slug>.html`.")
    platform: str


@task_type(
    "article.publish",
    parameters=PublishParameters,
    output=PublishOutput,
    errors=[
        ErrorCode("platform_not_configured"),
        ErrorCode("article_empty"),
        ErrorCode("artifact_missing"),
        ErrorCode("image_refused"),
        ErrorCode("blog_busy", retryable=True),
    ],
    isolation="process",
    effect=True,
    timeout_s=300,
)
def article_publish(ctx: ProcessContext, p: PublishParameters) -> PublishOutput:
    """Publishes, or answers with what an earlier delivery published."""
    if p.platform != "folder":
        raise TaskError("platform_not_configured", field="platform", platform=p.platform)
    if not p.title.strip() or not writer.plain_text(p.content):
        raise TaskError("article_empty", field="title" if not p.title.strip() else "content")
    return _publish_in_folder(ctx, p)


def blog_of(settings: WorkerSettings) -> "Blog":
    """The demo blog, in Korean: its readers' language."""
    from worker_service.blog import Blog

    def say(code: str, **params: Any) -> str:
        return texts(__name__)[code]["ko"].format(**params)

    return Blog(settings.blog_folder(), (settings.blog_base_url or "/blog").rstrip("/"), say)


def _publish_in_folder(ctx: ProcessContext, p: PublishParameters) -> PublishOutput:
    from filelock import Timeout

    from worker_service.blog import Draft, ImageRefused, slug_of

    blog = blog_of(ctx.settings)
    draft = Draft(" ".join(p.title.split()), p.content, tuple(p.tags))
    ctx.effects.note({"slug": slug_of(ctx.idempotency_key), "platform": p.platform})
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        post = blog.publish(ctx.idempotency_key, draft, now, ctx.artifacts.get, lambda step: _mark(ctx, step))
    except ImageRefused as error:
        raise TaskError("image_refused", field="content", artifact=str(error)) from None
    except Timeout:
        raise TaskError("blog_busy") from None
    output = PublishOutput(
        post_url=blog.url(post.path), published_at=post.published_at, post_path=post.path, platform=p.platform
    )
    text = writer.plain_text(post.content)[:RECENT_TEXT]
    _remember(ctx, {"post_url": output.post_url, "title": post.title, "text": text, "slug": post.slug})
    _mark(ctx, "remembered")
    return output


def _mark(ctx: ProcessContext, step: str) -> None:
    """Each durable step stands in the execution log."""
    ctx.log.info("article_publishing", step=step)


def _remember(ctx: ProcessContext, post: dict[str, str]) -> None:
    for _ in range(TRIES):
        entry = ctx.state.get("article.publish", "recent") or StateEntry([], 0)
        others = [known for known in entry.value if known["slug"] != post["slug"]]
        try:
            ctx.state.put("article.publish", "recent", [post, *others][:RECENT], version=entry.version)
        except StateConflict:
            continue  # another run published meanwhile
        return
    raise StateConflict
