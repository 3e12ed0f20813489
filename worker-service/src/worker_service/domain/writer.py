"""Articles. The extractive writer composes sentences from the product's own facts and adds nothing to them; what a
language model wrote is let through only after its markup was reduced to an allow-list and its figures were checked.

Every article says in its footer who wrote it.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, unquote

import nh3

from worker_service.domain.matching import Morpheme, normalise
from worker_service.domain.retrieval import Retrieved, SourceKind

MOST_IMAGES = 4
MOST_TAGS = 10
WORTH_READING_TOO = 0.15

# what a language model may use inside a section: no links, images, styles or scripts
_SECTION_TAGS = {"p", "ul", "ol", "li", "strong", "em", "b", "i", "br", "blockquote", "h3", "table", "thead", "tbody"}
_SECTION_TAGS |= {"tr", "th", "td", "dl", "dt", "dd"}
_ARTICLE_TAGS = _SECTION_TAGS | {"section", "h2", "figure", "figcaption", "img", "a", "footer", "small"}
_ARTICLE_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt"}}

# what an article calls the images of the artifact store
SCHEME = "artifact:"

_UNITS_AS_READ = {
    **{"ml": "밀리리터", "l": "리터", "mm": "밀리미터", "cm": "센티미터", "m": "미터", "g": "그램", "kg": "킬로그램"},
    **{"mah": "밀리암페어", "w": "와트", "v": "볼트", "%": "퍼센트"},
}
_UNIT_AT_END = re.compile(rf"\d\s?({'|'.join(_UNITS_AS_READ)})\W*$")

Say = Callable[..., str]


class WriterKind(StrEnum):
    EXTRACTIVE = "extractive"
    LLM = "llm"


@dataclass(frozen=True)
class Facts:
    """What is known of a product. `price` in whole units of `currency`; the rest as the page has it."""

    name: str
    url: str
    price: int | None = None
    currency: str = "KRW"
    rating: float | None = None
    review_count: int | None = None
    options: tuple[str, ...] = ()
    material: str | None = None
    description: str | None = None

    def price_text(self, say: Say) -> str | None:
        """The price with its currency, thousands apart; None when unknown."""
        if self.price is None:
            return None
        amount = f"{self.price:,}"
        return say("article_won", amount=amount) if self.currency == "KRW" else f"{amount} {self.currency}"

    def statements(self, say: Say) -> list[str]:
        """One line per fact: what retrieval chunks and figures are checked against."""
        lines = [self.name]
        if price := self.price_text(say):
            lines.append(say("article_fact_price", price=price))
        if self.rating is not None:
            lines.append(say("article_fact_rating", rating=f"{self.rating:g}"))
        if self.review_count is not None:
            lines.append(say("article_fact_reviews", reviews=f"{self.review_count:,}"))
        lines += [say("article_fact_option", option=option) for option in self.options]
        if self.material:
            lines.append(say("article_fact_material", material=self.material))
        return [*lines, self.description] if self.description else lines


@dataclass(frozen=True)
class Image:
    """A stored image: its artifact id or path, and what it shows."""

    artifact: str
    alt: str

    @property
    def source(self) -> str:
        """The image's address inside an article; the publishing platform replaces it by its own."""
        return artifact_source(self.artifact)


@dataclass(frozen=True)
class Section:
    """A heading (may be empty) and finished HTML."""

    heading: str
    body: str


@dataclass(frozen=True)
class Article:
    title: str
    content: str


class Josa(str):
    """A word that carries its particle: `{name:을를}` gives 의자를, 텀블러를, 책을, by how its last sound ends."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        half = len(spec) // 2
        closed, opened = spec[:half], spec[half:]
        final = _final_sound(self)
        if spec == "으로로":
            closed, opened = ("로", "로") if final == "ㄹ" else ("으로", "로")
        return f"{self}{closed if final else opened}"


def _final_sound(word: str) -> str:
    """The last consonant as it is read: ㄹ, another ("ㄴ" stands for all), or "" after a vowel."""
    spelled = unicodedata.normalize("NFC", word).casefold()
    if unit := _UNIT_AT_END.search(spelled):
        spelled = _UNITS_AS_READ[unit[1]]
    spoken = [sign for sign in spelled if sign.isalnum()]
    last = spoken[-1] if spoken else " "
    if "가" <= last <= "힣":
        jong = (ord(last) - ord("가")) % 28
        return "ㄹ" if jong == 8 else "ㄴ" if jong else ""
    if last in "178lr":
        return "ㄹ"
    return "ㄴ" if last in "036mn" else ""


def write_extractive(
    facts: Facts, keyword: str, retrieved: Sequence[Retrieved], images: Sequence[Image], say: Say
) -> Article:
    """An article of the product's own facts and nothing else."""
    name = Josa(facts.name)
    opening = _paragraphs(say("article_intro", keyword=keyword, name=name), facts.description or "")
    sections = [Section("", opening)]
    if priced := _priced(facts, say):
        sections.append(Section(say("article_heading_price"), _paragraphs(" ".join(priced))))
    if facts.options:
        body = _paragraphs(say("article_options", name=name)) + _list(facts.options)
        sections.append(Section(say("article_heading_options"), body))
    if facts.material:
        body = _paragraphs(say("article_material", material=Josa(facts.material)))
        sections.append(Section(say("article_heading_material"), body))
    image_texts = [entry.chunk.text for entry in retrieved if entry.chunk.kind is SourceKind.IMAGE_TEXT]
    if image_texts:
        quotes = "".join(f"<blockquote><p>{html.escape(text)}</p></blockquote>" for text in image_texts)
        sections.append(Section(say("article_heading_image_text"), _paragraphs(say("article_image_text")) + quotes))
    title = say("article_title_priced" if facts.price is not None and facts.options else "article_title", name=name)
    content = compose(sections, images, facts, earlier(retrieved), say("article_footer_extractive"), say)
    return Article(title, content)


def _priced(facts: Facts, say: Say) -> list[str]:
    sentences = []
    if price := facts.price_text(say):
        sentences.append(say("article_price", price=price))
    if facts.rating is not None:
        sentences.append(say("article_rating", rating=f"{facts.rating:g}"))
    if facts.review_count is not None:
        sentences.append(say("article_reviews", reviews=f"{facts.review_count:,}"))
    return sentences


def earlier(retrieved: Sequence[Retrieved]) -> dict[str, str]:
    """Address → title of the earlier articles that are near enough to be worth reading too, best first."""
    near = [r.chunk for r in retrieved if r.chunk.kind is SourceKind.EARLIER_ARTICLE and r.score >= WORTH_READING_TOO]
    return {chunk.origin: chunk.label for chunk in near}


def compose(
    sections: Sequence[Section],
    images: Sequence[Image],
    facts: Facts,
    see_also: Mapping[str, str],
    footer: str,
    say: Say,
) -> str:
    """The article's HTML: sections with the images spread over them, where it comes from, and who wrote it."""
    shown = list(images[:MOST_IMAGES])
    blocks = []
    for place, section in enumerate(sections):
        heading = f"<h2>{html.escape(section.heading)}</h2>" if section.heading else ""
        # every section takes one image; the last takes what is left
        here, shown = (shown, []) if place == len(sections) - 1 else (shown[:1], shown[1:])
        blocks.append(f"<section>{heading}{section.body}{''.join(_figure(image) for image in here)}</section>")
    if see_also:
        links = "".join(f"<li>{_link(address, title)}</li>" for address, title in see_also.items())
        blocks.append(f"<section><h2>{html.escape(say('article_heading_earlier'))}</h2><ul>{links}</ul></section>")
    source = f"<p>{html.escape(say('article_source'))} {_link(facts.url, facts.name)}</p>"
    blocks.append(f"<footer>{source}<p><small>{html.escape(footer)}</small></p></footer>")
    return "\n".join(blocks)


def sanitise_section(markup: str) -> str:
    """A section's body with only text markup left."""
    return nh3.clean(markup, tags=_SECTION_TAGS, attributes={}, link_rel=None).strip()


def artifact_source(artifact: str) -> str:
    """What an article calls an image of the artifact store, by its id or path."""
    return SCHEME + quote(artifact)


def sanitise_article(markup: str, place: Callable[[str], str | None] = artifact_source) -> str:
    """An article with only what `compose` makes: no scripts, styles, frames or handlers, and no foreign images.

    `place` gives the address at which an artifact's image is shown; an image it answers None for is left out.
    """

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if tag == "img" and attribute == "src":
            return place(unquote(value.removeprefix(SCHEME))) if value.startswith(SCHEME) else None
        return value

    cleaned = nh3.clean(
        markup,
        tags=_ARTICLE_TAGS,
        attributes=_ARTICLE_ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", SCHEME.rstrip(":")},
        link_rel="noopener nofollow",
    )
    return re.sub(r'<img(?:\s+[a-z]+="[^"]*")*>', lambda image: image[0] if ' src="' in image[0] else "", cleaned)


def artifacts_in(markup: str) -> list[str]:
    """The artifacts whose images an article shows, in order, each once."""
    found: dict[str, None] = {}

    def see(artifact: str) -> str:
        found[artifact] = None
        return artifact_source(artifact)

    sanitise_article(markup, see)
    return list(found)


def plain_text(markup: str) -> str:
    """The text of some HTML, blocks apart by spaces, entities resolved."""
    spaced = re.sub(
        r"<(?:/?(?:p|li|dt|dd|td|th|tr|h\d|section|blockquote|figure|figcaption|footer|br)\b)", r" \g<0>", markup
    )
    return " ".join(html.unescape(nh3.clean(spaced, tags=set())).split())


def tags(keyword: str, facts: Facts, pieces: Sequence[Morpheme]) -> tuple[str, ...]:
    """The keyword and the name's nouns, without spaces, each once, at most ten."""
    nouns = [piece.form for piece in pieces if piece.tag in {"NNG", "NNP", "SL"} and len(piece.form) >= 2]
    nouns = [noun for noun in nouns if noun not in _UNITS_AS_READ]
    spelled = ["".join(normalise(word).split()) for word in (keyword, *nouns)]
    return tuple(dict.fromkeys(spelled))[:MOST_TAGS]


def _paragraphs(*texts: str) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts if text)


def _list(entries: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(entry)}</li>" for entry in entries) + "</ul>"


def _figure(image: Image) -> str:
    return f'<figure><img src="{html.escape(image.source)}" alt="{html.escape(image.alt)}"></figure>'


def _link(address: str, text: str) -> str:
    safe = address if re.match(r"https?://|/", address) else ""
    return f'<a href="{html.escape(safe)}">{html.escape(text)}</a>' if safe else html.escape(text)
