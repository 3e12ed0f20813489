"""Text of an image from its pixels alone, by Tesseract.

The page is cut into bands where rows of pixels are blank: a low band is one line, a high one (a picture, perhaps with
text beside it) is left to Tesseract's own search for columns. The Korean model reads first; it knows no Latin letters,
so words without Hangul, and words it is unsure of, are cut out and read again by both models; the surer reading stands.
Everything heavy is imported when the first image is read.
"""

import gzip
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

PACKED = Path(__file__).parent / "tessdata"
LANGUAGES = ("kor", "eng")
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

UNSURE = 60  # Tesseract's confidence, 0..100, below which a word is read again
SURE = 85
NOISE = 50  # mean confidence below which a line is an ornament, not text
LINE_HEIGHTS = range(8, 110)  # pixels of one line of text
BORDER = 16  # blank pixels round what is cut out: the engine reads badly at an edge
MARGIN = 12  # pixels around a word that is read again
LATIN_SCALES = (0.8, 1.5, 2.0)  # enlarged, the English model tells g from 9
QUANTITY = re.compile(r"\(?(\d[\d.,]*)(cm|mm|m|ml|L|l|g|kg|mg|kcal|mAh|W|V|A|Hz|GB|x\d+)[.,)]*")
HANGUL = re.compile("[가-힣]")


class Unreadable(ValueError):
    """The bytes are no picture we read; `str()` is the reason: `not_an_image` or `too_large`."""


@dataclass(frozen=True)
class Reading:
    """`text` in lines (empty where the image holds none) and its mean `confidence`, 0..1."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Word:
    text: str
    confidence: float
    box: tuple[int, int, int, int]  # left, top, right, bottom


def unpack_models(folder: Path) -> Path:
    """`folder` with the models in it; unpacked when absent, complete or not at all, however many processes try."""
    folder.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        target = folder / f"{language}.traineddata"
        if not target.exists():
            handle, fresh = tempfile.mkstemp(dir=folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(gzip.decompress((PACKED / f"{language}.traineddata.gz").read_bytes()))
            Path(fresh).replace(target)
    return folder


def guess_language(text: str) -> str:
    """`ko`, `ja`, `zh` or `en` by the script most letters are of; `und` where there are none."""
    scripts = {"ko": "[가-힣ㄱ-ㅎㅏ-ㅣ]", "ja": "[ぁ-ヿ]", "zh": "[一-鿿]", "en": "[A-Za-z]"}
    counts = {language: len(re.findall(letters, text)) for language, letters in scripts.items()}
    if not any(counts.values()):
        return "und"
    if counts["ja"] and counts["ja"] + counts["zh"] > counts["ko"]:
        return "ja"
    # a Korean page names sizes and materials in Latin letters: a third of Hangul is enough
    return "ko" if counts["ko"] * 2 >= counts["en"] + counts["zh"] else max(counts, key=lambda name: counts[name])


class Reader:
    """Three engines, about 60 MB together; close it, or use it as a context manager."""

    def __init__(self, models: Path) -> None:
        import tesserocr

        def engine(language: str, mode: int) -> Any:
            return tesserocr.PyTessBaseAPI(path=f"{models}/", lang=language, psm=mode)

        self._page = engine("kor", tesserocr.PSM.SINGLE_COLUMN)
        self._words = {language: engine(language, tesserocr.PSM.SINGLE_LINE) for language in LANGUAGES}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for engine in (self._page, *self._words.values()):
            engine.End()

    def read(self, data: bytes) -> Reading:
        """The text of an image file. Raises Unreadable where the bytes are no picture of a supported kind and size."""
        image = open_image(data)
        lines = []
        for top, bottom in bands(image):
            band = image.crop((0, max(top - 4, 0), image.width, min(bottom + 4, image.height)))
            engine = self._words["kor"] if bottom - top in LINE_HEIGHTS else self._page
            framed = frame(band)
            found = [self._read_again(line, framed) for line in list(self._lines(engine, framed))]
            lines += [line for line in found if not is_ornament(line, bottom - top)]
        lines = [line for line in lines if not is_noise(line, lines)]
        words = [word for line in lines for word in line]
        text = "\n".join(" ".join(word.text for word in line) for line in lines)
        return Reading(text, round(mean_confidence(words) / 100, 3))

    def _lines(self, engine: Any, image: "Image") -> Iterator[list[Word]]:
        """The page's words by line, parts that Tesseract wrote without a space between them joined."""
        import tesserocr

        engine.SetImage(image)
        text, place = engine.GetUTF8Text(), 0
        line: list[Word] = []
        if not text.strip():
            return
        for item in tesserocr.iterate_level(engine.GetIterator(), tesserocr.RIL.WORD):
            part = (item.GetUTF8Text(tesserocr.RIL.WORD) or "").strip()
            if part:
                word = Word(part, item.Confidence(tesserocr.RIL.WORD), item.BoundingBox(tesserocr.RIL.WORD))
                found = text.find(part, place)
                apart = found <= 0 or text[found - 1].isspace()
                place = found + len(part) if found >= 0 else place
                line = [*line, word] if apart or not line else [*line[:-1], join(line[-1], word)]
            if item.IsAtFinalElement(tesserocr.RIL.TEXTLINE, tesserocr.RIL.WORD):
                if line:
                    yield line
                line = []

    def _read_again(self, line: list[Word], image: "Image") -> list[Word]:
        line = without_doubles(line)
        read = []
        for place, word in enumerate(line):
            if word.confidence < UNSURE or not HANGUL.search(word.text):
                before = line[place - 1].box[2] if place else 0
                after = line[place + 1].box[0] if place + 1 < len(line) else image.width
                word = with_descender(self._surest(word, cut(image, line, word, before, after)), line)
            read.append(word)
        return read

    def _surest(self, word: Word, crops: list["Image"]) -> Word:
        """The surest of the word's readings by each model."""
        best, best_weight = word, word.confidence
        latin = not HANGUL.search(word.text)
        tries = [("kor", 0.8), *(("eng", scale) for scale in (LATIN_SCALES if latin else LATIN_SCALES[:1]))]
        for crop in crops:
            for language, scale in tries:
                engine = self._words[language]
                engine.SetImage(frame(scaled(crop, scale)))
                text, confidence = " ".join(engine.GetUTF8Text().split()), float(engine.MeanTextConf())
                weight = confidence + (trust(word.text, text, confidence) if language == "eng" else 0)
                if text and weight > best_weight:
                    best, best_weight = Word(text, confidence, word.box), weight
        return best


def open_image(data: bytes) -> "Image":
    """Shades of grey on white. Raises Unreadable."""
    import PIL.Image

    try:
        with PIL.Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unreadable("too_large")
            coloured = image.convert("RGBA")
    except Unreadable:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise Unreadable("too_large") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        raise Unreadable("not_an_image") from error
    white = PIL.Image.new("RGBA", coloured.size, "white")
    return PIL.Image.alpha_composite(white, coloured).convert("L")


def cut(image: "Image", line: list[Word], word: Word, before: int, after: int) -> list["Image"]:
    """A word alone, closely and up to its neighbours, which end at `before` and begin at `after`.

    The engine's boxes at times leave out a first or last letter, and then only the wider cut holds it.
    """
    left, _, right, _ = word.box
    top, bottom = min(part.box[1] for part in line) - 3, max(part.box[3] for part in line) + 3
    crops = []
    for start, end in (
        (max(left - MARGIN, (before + left) // 2), min(right + MARGIN, (right + after) // 2)),
        (max(left - 3 * MARGIN, before + 5), min(right + 3 * MARGIN, after - 5)),
    ):
        sides = max(min(start, left), 0), min(max(end, right), image.width)
        crops.append(image.crop((sides[0], max(top, 0), sides[1], min(bottom, image.height))))
    return crops


def scaled(image: "Image", by: float) -> "Image":
    from PIL import Image as images

    size = max(1, round(image.width * by)), max(1, round(image.height * by))
    return image.resize(size, images.Resampling.LANCZOS)


def frame(image: "Image") -> "Image":
    """With a blank border of the colour of its corner."""
    from PIL import ImageOps

    return ImageOps.expand(image, border=BORDER, fill=image.getpixel((0, 0)))  # type: ignore[arg-type]


def bands(image: "Image") -> list[tuple[int, int]]:
    """(top, bottom) of the parts with ink, cut at blank rows: those where neighbouring pixels hardly differ."""
    from PIL import Image as images
    from PIL import ImageChops

    edges = ImageChops.difference(image, ImageChops.offset(image, 1, 0)).point(lambda value: 255 if value > 40 else 0)
    rows = edges.resize((1, image.height), images.Resampling.BOX).tobytes()
    inked = [row * image.width >= 3 * 255 for row in rows]  # the sides of one ruled bar are two edges
    found: list[tuple[int, int]] = []
    for place, ink in enumerate(inked):
        if not ink:
            continue
        if found and place - found[-1][1] <= 3:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return [band for band in found if band[1] - band[0] >= LINE_HEIGHTS.start]


def trust(korean: str, english: str, confidence: float) -> float:
    """What an English reading's confidence gains or loses against the Korean one.

    The Korean model reads `116cm` as `11600` and is sure of it: a number with a unit whose digits it begins with is
    confirmed. A syllable it knows badly, on the other hand, is no reason to read it as Latin.
    """
    if HANGUL.search(korean):
        return 0 if confidence >= SURE and english.replace(" ", "").isalnum() else -100
    quantity = QUANTITY.fullmatch(english)
    return 30 if quantity and korean.lstrip("(").startswith(quantity[1]) else 10


def with_descender(word: Word, line: list[Word]) -> Word:
    """`12709` that hangs below the line's syllables is `1270g`: a nine stands on the line."""
    lowest = max((other.box[3] for other in line if HANGUL.search(other.text)), default=word.box[3])
    if re.fullmatch(r"\d+9", word.text) and word.box[3] > lowest:
        return Word(word.text[:-1] + "g", word.confidence, word.box)
    return word


def without_doubles(line: list[Word]) -> list[Word]:
    """Without words that lie within another one's box and text: a part that the engine read twice."""

    def is_part(word: Word, whole: Word) -> bool:
        inside = whole.box[0] <= word.box[0] and word.box[2] <= whole.box[2]
        return word is not whole and inside and word.text in whole.text and len(word.text) < len(whole.text)

    return [word for word in line if not any(is_part(word, other) for other in line)]


def join(one: Word, other: Word) -> Word:
    (left, top, right, bottom), box = one.box, other.box
    around = min(left, box[0]), min(top, box[1]), max(right, box[2]), max(bottom, box[3])
    return Word(one.text + other.text, min(one.confidence, other.confidence), around)


def mean_confidence(words: list[Word]) -> float:
    """By letter, 0..100."""
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0


def is_ornament(line: list[Word], band: int) -> bool:
    """A few signs without Hangul, unsure or in a picture (`band` is its height): shapes, not text."""
    text = "".join(word.text for word in line)
    few = len(text) < 5 and not HANGUL.search(text)
    return few and (band not in LINE_HEIGHTS or mean_confidence(line) < SURE)


def is_noise(line: list[Word], page: list[list[Word]]) -> bool:
    """Shapes read as letters: unsure, or far higher than the page's usual line."""
    heights = sorted(height(each) for each in page for _ in range(sum(len(word.text) for word in each)))
    return mean_confidence(line) < NOISE or height(line) > 2.2 * heights[len(heights) // 2]


def height(line: list[Word]) -> int:
    return max(word.box[3] for word in line) - min(word.box[1] for word in line)
