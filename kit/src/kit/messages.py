"""All text that people read lives in catalogues: a `messages.toml` beside a package's code, a table per code.

[workflow_not_found]
ko = "워크플로를 찾을 수 없습니다."
en = "There is no such workflow."
"""

import tomllib
from contextvars import ContextVar
from importlib.resources import files
from typing import Any

LANGUAGES = ("ko", "en")

language: ContextVar[str] = ContextVar("language", default="ko")
_catalogue: dict[str, dict[str, str]] = {}


def load(package: str, *names: str) -> None:
    """Adds a package's catalogue(s), `messages.toml` when no name is given. A code defined twice differently raises."""
    for name in names or ("messages.toml",):
        for code, texts in tomllib.loads(files(package).joinpath(name).read_text(encoding="utf-8")).items():
            if _catalogue.setdefault(code, texts) != texts:
                raise ValueError(f"two texts for the message {code!r}")


def text(code: str, /, *, lang: str | None = None, **params: Any) -> str:
    """The text for a code in the caller's language, its placeholders filled; the code itself when no text is known."""
    texts = _catalogue.get(code)
    if texts is None:
        return code
    chosen = texts.get(lang or language.get()) or texts["en"]
    try:
        return chosen.format(**params)
    except (KeyError, IndexError):
        return chosen


def knows(code: str) -> bool:
    """Whether a catalogue has a text for it."""
    return code in _catalogue


def from_accept_language(header: str | None, default: str) -> str:
    """`ko` or `en`, whichever the header weighs higher; the default when it names neither."""
    best, weight = default, 0.0
    for part in (header or "").split(","):
        name, _, rest = part.strip().partition(";")
        tag = name.split("-")[0].lower()
        try:
            quality = float(rest.strip().removeprefix("q=")) if rest else 1.0
        except ValueError:
            continue
        if tag in LANGUAGES and quality > weight:
            best, weight = tag, quality
    return best


load("kit")
