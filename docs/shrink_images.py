"""Makes the pictures in docs/images small: few colours are all that a screen needs. `make guide` runs it."""

import sys
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parent / "images"
MOST_BYTES = 120_000


def shrink(path: Path) -> int:
    """The bytes that are left. The commonest colours stay exactly as they are, so that paper stays paper."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    found = picture.getcolors(picture.width * picture.height) or []
    commonest = [colour for _, colour in sorted(found, key=lambda item: (-item[0], item[1]))]
    for colours in (256, 128, 64):
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for colour in commonest[:colours] for part in colour])
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    return path.stat().st_size


def main() -> None:
    for path in sorted(IMAGES.rglob("*.png")):
        sys.stdout.write(f"{path.relative_to(IMAGES)}: {shrink(path):,} bytes\n")


if __name__ == "__main__":
    main()
