"""Every number a text states stands in a source. A price must stand there as a price and a percentage as a percentage;
3만 9천 원, 39,000원 and 삼만 구천 원 are the same price.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALES = {"억": 10**8, "천만": 10**7, "백만": 10**6, "십만": 10**5, "만": 10**4, "천": 1000, "백": 100}
_SCALE = "|".join(_SCALES)
_FIGURE = re.compile(
    rf"(?P<amount>(?:(?:{_NUMBER})\s?(?:{_SCALE})\s?)+(?:{_NUMBER})?|(?:{_NUMBER}))\s?(?P<unit>원|KRW|%|퍼센트|프로(?!그))?"
    r"|(?P<won>[₩￦])\s?(?P<plain>" + _NUMBER + ")"
)
_PART = re.compile(rf"({_NUMBER})\s?({_SCALE})?")
_SPELLED_PRICE = re.compile(
    # not the unit of a number in digits (3만 원), and not another word that begins with 원 (백 원피스)
    r"(?<![가-힣\d])(?<!\d\s)((?:[일이삼사오육칠팔구십백천만억]\s?)*[십백천만억](?:\s?[일이삼사오육칠팔구])?)\s?"
    r"원(?!피스|목|두|단|형|래|룸)"
)
_DIGITS = {digit: value for value, digit in enumerate("일이삼사오육칠팔구", start=1)}


class Measure(StrEnum):
    PRICE = "price"
    PERCENT = "percent"
    OTHER = "other"


@dataclass(frozen=True)
class Figure:
    """A number as a text states it. `values` are the readings it may have: 3만 is 30000, or 3 with the particle 만."""

    text: str
    measure: Measure
    values: frozenset[Decimal]


def figures(text: str) -> list[Figure]:
    """All numbers of a text, in order of kind then place; digits of any width, and spelled prices."""
    plain = unicodedata.normalize("NFKC", text)
    found = []
    for hit in _FIGURE.finditer(plain):
        amount = hit["plain"] or hit["amount"]
        measure = Measure.PRICE if hit["won"] else _measure(hit["unit"])
        values = {_scaled(amount)}
        if measure is not Measure.PRICE:
            values |= {_number(number) for number, _ in _PART.findall(amount)}
        found.append(Figure(hit[0].strip(), measure, frozenset(values)))
    found += [Figure(hit[0], Measure.PRICE, frozenset({_spelled(hit[1])})) for hit in _SPELLED_PRICE.finditer(plain)]
    return found


def unsupported(text: str, sources: Iterable[str], prices: Iterable[int] = ()) -> list[str]:
    """The figures of `text` that no source states, as written there. `prices` in won are sources too."""
    stated = [figure for source in sources for figure in figures(source)]
    known = {measure: {value for f in stated if f.measure is measure for value in f.values} for measure in Measure}
    known[Measure.PRICE] |= {Decimal(price) for price in prices}
    anywhere = known[Measure.PRICE] | known[Measure.PERCENT] | known[Measure.OTHER]
    refused = []
    for figure in figures(text):
        allowed = anywhere if figure.measure is Measure.OTHER else known[figure.measure]
        if not figure.values & allowed:
            refused.append(figure.text)
    return list(dict.fromkeys(refused))


def _measure(unit: str | None) -> Measure:
    match unit:
        case "원" | "KRW":
            return Measure.PRICE
        case "%" | "퍼센트" | "프로":
            return Measure.PERCENT
        case _:
            return Measure.OTHER


def _number(digits: str) -> Decimal:
    return Decimal(digits.replace(",", "")).normalize()


def _scaled(amount: str) -> Decimal:
    parts = _PART.findall(amount)
    return sum((_number(number) * _SCALES.get(scale, 1) for number, scale in parts), Decimal(0)).normalize()


def _spelled(numerals: str) -> Decimal:
    total = section = digit = 0
    for sign in numerals.replace(" ", ""):
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        elif sign in "십백천":
            section += (digit or 1) * {"십": 10, "백": 100, "천": 1000}[sign]
            digit = 0
        else:
            total += (section + digit or 1) * {"만": 10**4, "억": 10**8}[sign]
            section = digit = 0
    return Decimal(total + section + digit).normalize()
