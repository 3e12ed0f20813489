"""Detail images as a shop shows them: a heading and lines of Korean text, the same bytes for the same text.

Pillow is imported when the first image is asked for, so that a shop nobody looks at stays small.
"""

import zlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONT = Path(__file__).parent / "fonts" / "ShopGothic.ttf"
WIDTH = 860
MARGIN = 64
TINTS = ("#e8f1ee", "#f4ede4", "#e9eef6", "#f6e9ea", "#eef3e2", "#efeaf4")
INKS = ("#2f6f5e", "#8a5a2b", "#2f4f86", "#94414a", "#5d7326", "#5f4a86")


@lru_cache(maxsize=48)
def draw_card(title: str, lines: tuple[str, ...], key: str) -> bytes:
    """PNG bytes, 860 pixels wide; `key` picks the colours and the ornament."""
    from PIL import Image, ImageDraw

    seed = zlib.crc32(key.encode())
    tint, ink = TINTS[seed % len(TINTS)], INKS[seed % len(INKS)]
    heading, body = _font(44), _font(31)
    titles = _wrap(title, heading)
    rows = [row for line in lines for row in _wrap(line, body)]
    top = 240 + 62 * len(titles)
    image = Image.new("RGB", (WIDTH, top + 40 + 62 * len(rows) + 70), "white")
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 0, WIDTH, 190), fill=tint)
    _ornament(canvas, seed, ink)
    for number, row in enumerate(titles):
        canvas.text((MARGIN, 225 + 62 * number), row, font=heading, fill="#1d1d1f")
    canvas.rectangle((MARGIN, top, MARGIN + 72, top + 5), fill=ink)
    for number, row in enumerate(rows):
        canvas.text((MARGIN, top + 40 + 62 * number), row, font=body, fill="#3a3a3c")
    out = BytesIO()
    image.save(out, "PNG", optimize=False)
    return out.getvalue()


@lru_cache(maxsize=2)
def _font(size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(FONT), size)


def _wrap(text: str, font: "FreeTypeFont") -> list[str]:
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= WIDTH - 2 * MARGIN:
            rows[-1] = longer
        else:
            rows.append(word)
    return [row for row in rows if row]


def _ornament(canvas: "ImageDraw", seed: int, ink: str) -> None:
    for place in range(3):
        x, size = 600 + 70 * place, 26 + (seed >> (4 * place)) % 40
        if (seed >> place) % 2:
            canvas.ellipse((x - size, 95 - size, x + size, 95 + size), outline=ink, width=6)
        else:
            canvas.rounded_rectangle((x - size, 95 - size, x + size, 95 + size), radius=14, fill=ink)
