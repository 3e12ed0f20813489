"""`image.thumbnail`: makes a small copy of a picture that an earlier task stored, and stores it beside it.

`{"artifact": "images/mug.png", "side": 320}`. Heavy libraries are imported inside the function: only the process that
needs them pays for them.
"""

import io
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field

from worker_service import sdk
from worker_service.sdk import ErrorCode, ProcessContext, TaskError, task_type

PIXELS_MOST = 50_000_000


class Parameters(sdk.Parameters):
    artifact: Annotated[str, Field(min_length=1)] = Field(description="Path or id of the picture.")
    side: Annotated[int, Field(ge=16, le=2_000)] = Field(default=320, description="Of its longer side, in pixels.")


class Output(sdk.Output):
    artifact_id: str
    path: str
    width: int
    height: int
    bytes: int


@task_type(
    "image.thumbnail",
    parameters=Parameters,
    output=Output,
    errors=[ErrorCode("picture_unreadable"), ErrorCode("picture_too_large")],
    timeout_s=60,
)
def thumbnail(ctx: ProcessContext, p: Parameters) -> Output:
    from PIL import Image

    content = ctx.artifacts.get(p.artifact)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > PIXELS_MOST:
                raise TaskError("picture_too_large", field="artifact", limit=PIXELS_MOST)
            small = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise TaskError("picture_unreadable", str(error), field="artifact") from error
    small.thumbnail((p.side, p.side))
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=85)
    stored = ctx.artifacts.put(f"thumbnails/{PurePosixPath(p.artifact).stem}.jpg", packed.getvalue(), "image/jpeg")
    ctx.log.info("thumbnail_made", path=stored.path, before=len(content), after=stored.size)
    return Output(
        artifact_id=stored.artifact_id, path=stored.path, width=small.width, height=small.height, bytes=stored.size
    )
