"""`image.ocr`: the text of a product's stored images, read from their pixels.

An image that cannot be read is `unreadable` for that image only. A translation is never pretended: without one the
reason says why. It runs in a process of its own, changes nothing, and may be killed at any time.
"""

from typing import Literal

from pydantic import BaseModel, Field

from worker_service import ocr, sdk
from worker_service.product import Product, StoredFile, UploadResult
from worker_service.sdk import ProcessContext, TaskError, task_type

NoTranslation = Literal["already_korean", "no_translator", "no_text"]


class Parameters(sdk.Parameters):
    images: list[StoredFile] = Field(default_factory=list, max_length=20, description="Stored images, in their order.")
    selected_product: Product | None = Field(default=None, description="Whose images to look for in upload_results.")
    upload_results: list[UploadResult] = Field(default_factory=list, max_length=40)


class ImageText(BaseModel):
    artifact_id: str
    path: str
    source_url: str | None
    status: Literal["read", "no_text", "unreadable"]
    text: str
    confidence: float | None = Field(description="0..1; null where nothing was read.")
    language: str = Field(description="`ko`, `en`, `ja`, `zh`; `und` where there is no text.")
    translation: str | None
    reason: str | None = Field(description="Why there is no translation, or why the image is unreadable.")


class Output(sdk.Output):
    text: str
    language: str
    translation: str | None
    reason: NoTranslation | None
    images: list[ImageText]


@task_type("image.ocr", parameters=Parameters, output=Output, isolation="process", timeout_s=180)
def image_ocr(ctx: ProcessContext, p: Parameters) -> Output:
    images = wanted(p)
    read = []
    if images:
        with ocr.Reader(ocr.unpack_models(ctx.settings.data.resolve() / "cache" / "tessdata")) as reader:
            for image in images:
                found = read_image(ctx, reader, image)
                ctx.log.info("image_read", path=image.path, status=found.status, letters=len(found.text))
                read.append(found)
    text = "\n\n".join(found.text for found in read if found.text)
    language = ocr.guess_language(text)
    return Output(text=text, language=language, translation=None, reason=no_translation(language), images=read)


def wanted(p: Parameters) -> list[StoredFile]:
    """The images that are named, else those stored of the selected product."""
    if p.images or p.selected_product is None:
        return p.images
    of = p.selected_product.url
    return [image for upload in p.upload_results if upload.product_url == of for image in upload.images]


def read_image(ctx: ProcessContext, reader: ocr.Reader, image: StoredFile) -> ImageText:
    found = ImageText(
        artifact_id=image.artifact_id,
        path=image.path,
        source_url=image.source_url,
        status="unreadable",
        text="",
        confidence=None,
        language="und",
        translation=None,
        reason=None,
    )
    try:
        reading = reader.read(ctx.artifacts.get(image.artifact_id))
    except ocr.Unreadable as error:
        return found.model_copy(update={"reason": str(error)})
    except TaskError as error:
        return found.model_copy(update={"reason": error.code})
    language = ocr.guess_language(reading.text)
    return found.model_copy(
        update={
            "status": "read" if reading.text else "no_text",
            "text": reading.text,
            "confidence": reading.confidence if reading.text else None,
            "language": language,
            "reason": no_translation(language),
        }
    )


def no_translation(language: str) -> NoTranslation:
    match language:
        case "ko":
            return "already_korean"
        case "und":
            return "no_text"
        case _:
            return "no_translator"
