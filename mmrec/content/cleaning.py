"""Text cleaning, selectable by name (METHODS M8).

"none" only normalizes space: sentence encoders do better with whole sentences. "plain" takes off markup, addresses,
advertising and special characters; "classic" stop words and capitals, too.
"""

import re
from collections.abc import Callable

from mmrec.errors import NotFoundError

STOP_WORDS = frozenset(
    """
    a an and are as at be been but by for from had has have he her his i in is it its my no nor not of on or our
    she so such than that the their them then there these they this those to too was we were what when where which
    who will with you your
    """.split()  # noqa: SIM905 (a list of a hundred quoted words reads worse)
)
_ADVERTISING = re.compile(
    r"\b(?:buy (?:\w+ )?now|order (?:now|today)|shop now|click here|free (?:shipping|delivery|returns?)|"
    r"best (?:price|deal|offer)s?|"
    r"limited (?:time )?offer|special offer|(?:hot|top|best)[ -]?sell(?:er|ing)|on sale|sale ends \w+|\d+ ?% ?off|"
    r"money[ -]back guarantee|100 ?% (?:genuine|original|authentic)|while (?:stocks?|supplies) lasts?)\b[!.]*",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE)
_TAG = re.compile(r"<[^>]{0,200}>")
_SPECIAL = re.compile(r"[^\w\s'-]", re.UNICODE)
_SPACE = re.compile(r"\s+")


def clean_space(text: str) -> str:
    """One space between words, none around."""
    return _SPACE.sub(" ", text).strip()


def clean_plain(text: str) -> str:
    """Without markup, addresses, advertising and special characters; stop words and capitals stay."""
    bare = _ADVERTISING.sub(" ", _ADDRESS.sub(" ", _TAG.sub(" ", text)))
    return " ".join(word for word in _SPECIAL.sub(" ", bare).split() if word.strip("'-_"))


def clean_classic(text: str) -> str:
    """As clean_plain, without stop words, in lower case."""
    return " ".join(word for word in clean_plain(text).lower().split() if word not in STOP_WORDS)


CLEANINGS: dict[str, Callable[[str], str]] = {"none": clean_space, "plain": clean_plain, "classic": clean_classic}


def text_cleaning(name: str) -> Callable[[str], str]:
    """The cleaning of that name; NotFoundError names those that exist."""
    try:
        return CLEANINGS[name]
    except KeyError:
        raise NotFoundError(f"text cleaning {name!r} does not exist; known: {', '.join(sorted(CLEANINGS))}") from None
