"""Numbers and prices as people write them: "1.299,00", "1,299.00", "12,5", "1 299", "$12.99", "12 EUR", "Rs. 399".

    parse_number("1.299,00") -> 1299.0
    parse_price("€ 12,50") -> Price(12.5, "EUR")

Of two kinds of separators the last one is the decimal sign. A separator that stands more than once groups digits. One
comma before exactly three digits groups, one point is decimal, unless the column's other values say otherwise
(`decimal_sign`). Grouping is of three digits, or Indian: the last group of three, the others of two.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SPACES: Final = re.compile("[\\s\u00a0\u2007\u202f'\u2019_]")
_PLAIN: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_BODY: Final = re.compile(r"[+-]?[\d.,]*\d[.,]?", re.ASCII)
_AMBIGUOUS: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_GROUPS: Final = re.compile(r"\d{1,3}(?:[.,]\d{2,3})*[.,]\d{3}", re.ASCII)
_DASHED: Final = re.compile(r"[.,][-\u2013\u2014]+$")
_CURRENCIES: Final = {
    **{"$": "USD", "US$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD"},
    **{"R$": "BRL", "S$": "SGD", "\u20ac": "EUR", "EURO": "EUR", "EUROS": "EUR", "\u00a3": "GBP", "\u00a5": "JPY"},
    **{"\u20b9": "INR", "RS": "INR", "RS.": "INR", "\u20a9": "KRW", "\u20bd": "RUB", "\u20ba": "TRY", "\u20ab": "VND"},
    **{"\u20aa": "ILS", "\u0e3f": "THB", "\u20b1": "PHP", "\u20b4": "UAH", "Z\u0141": "PLN", "K\u010c": "CZK"},
}
"""By sign in capitals. "kr" is not among them: three currencies are written so."""
_PRICE: Final = re.compile(
    r"(?P<before>[^\d.,+\-\s]{1,5}\.?)?\s*(?P<number>[+-]?[\d.,][\d.,\s\u00a0\u202f'\u2019]*(?:[.,][-\u2013\u2014]+)?)\s*(?P<after>[^\d\s]{1,5})?"
)
_RANGE: Final = re.compile(r"\s*(?:-|\u2013|\u2014|\bto\b|\.\.\.?)\s*(?=\D{0,5}\d)")


@dataclass(frozen=True, slots=True)
class Price:
    """An amount and its currency."""

    amount: float
    currency: str
    """ISO 4217; empty where the text names none."""
    is_range: bool = False
    """Whether the text is a range, of which this is the lower end."""


def parse_number(text: str, *, decimal: str = "") -> float | None:
    """The number of a text; None where it is none.

    Args:
        decimal: "," or ".": what decides where one separator stands before three digits.
    """
    bare = _SPACES.sub("", _DASHED.sub("", text.strip())).replace("\u2212", "-")
    if decimal != "," and _PLAIN.fullmatch(bare):
        return float(bare)
    if not _BODY.fullmatch(bare):
        return float(bare) if _PLAIN.fullmatch(bare) else None
    sign, body = (bare[0], bare[1:]) if bare[0] in "+-" else ("", bare)
    plain = _without_groups(body, decimal)
    return None if plain is None else float(sign + plain)


def _without_groups(body: str, decimal: str) -> str | None:
    """Digits with a point as decimal sign."""
    points, commas = body.count("."), body.count(",")
    if not points and not commas:
        return body
    last = "," if body.rfind(",") > body.rfind(".") else "."
    if points and commas:
        whole, _, fraction = body.rpartition(last)
        if last in whole or not _GROUPS.fullmatch(whole):
            return None
        return f"{re.sub('[.,]', '', whole)}.{fraction or '0'}"
    if points + commas > 1:
        return re.sub("[.,]", "", body) if _GROUPS.fullmatch(body) else None
    if _AMBIGUOUS.fullmatch(body) and last != (decimal or "."):
        return re.sub("[.,]", "", body)
    whole, _, fraction = body.partition(last)
    return f"{whole or '0'}.{fraction or '0'}"


def is_ambiguous(text: str) -> bool:
    """Whether a number could be a thousand times larger, such as "1.299" or "1,299"."""
    return _AMBIGUOUS.fullmatch(_number_of(text)) is not None


def decimal_sign(texts: Iterable[str]) -> str:
    """What separates decimals in texts of one column: "," or ".", or "" where they do not say or contradict."""
    votes = set()
    for text in texts:
        bare = _number_of(text)
        points, commas = bare.count("."), bare.count(",")
        if not (points or commas) or _AMBIGUOUS.fullmatch(bare) or not _BODY.fullmatch(bare):
            continue
        last = "," if bare.rfind(",") > bare.rfind(".") else "."
        is_decimal = bool(points and commas) or points + commas == 1
        votes.add(last if is_decimal else "." if last == "," else ",")
    return votes.pop() if len(votes) == 1 else ""


def _number_of(text: str) -> str:
    match = _PRICE.fullmatch(text.strip())
    return _SPACES.sub("", _DASHED.sub("", match["number"].strip())) if match else ""


def parse_price(text: str, *, decimal: str = "") -> Price | None:
    """The price of a text, which may be below 0; None where it is none.

    Args:
        decimal: As in parse_number().
    """
    bare = text.strip()
    if (price := _one_price(bare, decimal)) is not None:
        return price
    ends = [_one_price(part.strip(), decimal) for part in _RANGE.split(bare)]
    if len(ends) == 2 and ends[0] is not None and ends[1] is not None and ends[0].amount <= ends[1].amount:
        return Price(ends[0].amount, ends[0].currency or ends[1].currency, is_range=True)
    return None


def _one_price(text: str, decimal: str) -> Price | None:
    match = _PRICE.fullmatch(text)
    if match is None:
        amount = parse_number(text, decimal=decimal)
        return None if amount is None else Price(amount, "")
    before, after = (currency_code(match[name] or "") for name in ("before", "after"))
    amount = parse_number(match["number"], decimal=decimal)
    if amount is None or before is None or after is None or (before and after and before != after):
        return None
    return Price(amount, before or after)


def currency_code(sign: str) -> str | None:
    """ISO code of a sign or code; "" for no sign, None for one that is not known."""
    name = sign.strip().upper()
    if not name or name in _CURRENCIES:
        return _CURRENCIES.get(name, "")
    return name if len(name) == 3 and name.isascii() and name.isalpha() else None
