"""What the simulated shop sells: items as arrays, and how well each planted style likes each of them.

A style s is a weight for every value of every attribute. An item is made in the spirit of one style, so

    match[s, i] = sum over attributes a of  weight[s, value of i in a]

is high for items of the style's own and for others that share its colors, patterns and brands. Items of one
collection are looked at together: co-visitation that attributes alone do not explain.

Axes: I items (beauty first), S styles, A attributes, V values of one attribute.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmrec.simulator import vocabulary as words
from mmrec.simulator.settings import OUTFIT_MATES, StorefrontConfig, generator

COLLECTION_SIZE = 7
POPULARITY_SIGMA = 0.8
"""Spread of log popularity: the long tail of items."""
STYLE_SHARPNESS = 1.35
"""How closely an item keeps to the style it was made for."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute of one domain's items, and what styles think of its values."""

    name: str
    values: tuple[str, ...]
    value_of_I: np.ndarray
    """Index into `values`, int16, shape (items of the domain,)."""
    weights_SV: np.ndarray
    """Weight of each value, float64."""


@dataclass(frozen=True, kw_only=True)
class Assortment:
    """All items, in the order of axis I."""

    item_ids: tuple[str, ...]
    num_beauty: int
    """The first so many items are beauty, the others fashion."""
    attributes: tuple[tuple[Attribute, ...], tuple[Attribute, ...]]
    """Attributes of beauty items and of fashion items."""
    match_SI: np.ndarray
    """How well style s likes item i, float32."""
    log_popularity_I: np.ndarray
    price_I: np.ndarray
    color_I: np.ndarray
    """Index into the color names; shared by both domains."""
    brand_I: np.ndarray
    season_I: np.ndarray
    style_I: np.ndarray
    """Style an item was made for."""
    collection_I: np.ndarray
    publish_day_I: np.ndarray
    """Days after the start when the item was published; below 0 for those that were there before."""
    has_image_I: np.ndarray

    @property
    def num_items(self) -> int:
        """Length of axis I."""
        return len(self.item_ids)

    def domain_of(self, index: int) -> int:
        """0 for beauty, 1 for fashion."""
        return 0 if index < self.num_beauty else 1

    def values_of(self, index: int) -> dict[str, str]:
        """Attribute values of one item by name."""
        domain = self.domain_of(index)
        row = index - (self.num_beauty if domain else 0)
        return {a.name: a.values[int(a.value_of_I[row])] for a in self.attributes[domain]}

    @cached_property
    def companions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(members, first, size): collection c holds members[first[c] : first[c] + size[c]]."""
        members = np.argsort(self.collection_I, kind="stable").astype(np.int32)
        sizes = np.bincount(self.collection_I)
        return members, np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes

    def outfit_mates(self, config: StorefrontConfig) -> np.ndarray:
        """Items that go with each item, shape (I, OUTFIT_MATES): of its domain and color and of another category.

        -1 where there are fewer. One has always the same mates, whatever else a world has.
        """
        rng = generator(config, 7)
        mates_IM = np.full((self.num_items, OUTFIT_MATES), -1, dtype=np.int64)
        category_I = np.concatenate(
            [next(a.value_of_I for a in own if a.name == "category") for own in self.attributes]
        )
        rows_I = np.arange(self.num_items)
        for row in rows_I.tolist():
            is_mate_I = (rows_I < self.num_beauty) == (row < self.num_beauty)
            is_mate_I &= (self.color_I == self.color_I[row]) & (category_I != category_I[row])
            mates = np.flatnonzero(is_mate_I)
            rng.shuffle(mates)
            mates_IM[row, : len(mates[:OUTFIT_MATES])] = mates[:OUTFIT_MATES]
        return mates_IM


def build_assortment(config: StorefrontConfig) -> Assortment:
    """The items of a storefront; a function of the configuration alone."""
    rng = generator(config, 1)
    styles = config.num_styles
    num_beauty = config.num_items // 2
    sizes = (num_beauty, config.num_items - num_beauty)
    # Colors, patterns, shapes, brands and seasons mean the same in both domains: taste carries over.
    shared: list[_Taste] = [
        ("color", tuple(words.COLORS), _taste(rng, styles, len(words.COLORS), liked=2, gain=2.2)),
        ("pattern", words.PATTERNS, _taste(rng, styles, len(words.PATTERNS), liked=1, gain=1.4)),
        ("shape", words.SHAPES, _taste(rng, styles, len(words.SHAPES), liked=1, gain=0.9)),
        ("brand", words.BRANDS, _taste(rng, styles, len(words.BRANDS), liked=2, gain=1.6)),
        ("season", words.SEASONS, np.zeros((styles, len(words.SEASONS)))),
    ]
    domains: list[_Domain] = []
    for name, size in zip(words.DOMAINS, sizes, strict=True):
        first = int(domains[-1].collection_I.max()) + 1 if domains else 0
        domains.append(_domain(rng, name, shared, size=size, num_styles=styles, first_collection=first))
    price = _prices(rng, domains)
    publish = -rng.uniform(1.0, 400.0, size=config.num_items)
    is_new = rng.random(config.num_items) < config.share_new_items
    publish[is_new] = rng.uniform(0.0, config.days, size=int(is_new.sum()))
    width = max(5, len(str(config.num_items)))
    return Assortment(
        item_ids=tuple(f"{one.name[0]}{index:0{width}d}" for one in domains for index in range(len(one.style_I))),
        num_beauty=num_beauty,
        attributes=(domains[0].attributes, domains[1].attributes),
        match_SI=np.concatenate([one.match_SI for one in domains], axis=1).astype(np.float32),
        log_popularity_I=rng.normal(0.0, POPULARITY_SIGMA, size=config.num_items),
        price_I=np.maximum(1, np.round(price)) - 0.05,
        color_I=_column(domains, "color"),
        brand_I=_column(domains, "brand"),
        season_I=_column(domains, "season"),
        style_I=np.concatenate([one.style_I for one in domains]),
        collection_I=np.concatenate([one.collection_I for one in domains]),
        publish_day_I=publish,
        has_image_I=rng.random(config.num_items) >= config.share_without_image,
    )


_Taste = tuple[str, tuple[str, ...], np.ndarray]
"""An attribute, its values, and the weights of each style for them, shape (S, V)."""


@dataclass(frozen=True, kw_only=True)
class _Domain:
    """The items of one domain; axis I holds these alone."""

    name: str
    attributes: tuple[Attribute, ...]
    match_SI: np.ndarray
    style_I: np.ndarray
    collection_I: np.ndarray

    def values_of(self, attribute: str) -> np.ndarray:
        """Index of each item's value of an attribute, shape (I,)."""
        return next(a.value_of_I for a in self.attributes if a.name == attribute)


def _domain(
    rng: np.random.Generator,
    name: str,
    shared: list[_Taste],
    *,
    size: int,
    num_styles: int,
    first_collection: int,
) -> _Domain:
    """Items of one domain, each in the spirit of a style, with the domain's own attributes and the shared ones."""
    style_of = np.arange(size) % num_styles
    rng.shuffle(style_of)
    own: list[_Taste] = [
        ("category", words.CATEGORIES[name], _taste(rng, num_styles, 8, liked=3, gain=1.8)),
        (words.FINISH_ATTRIBUTE[name], words.FINISHES[name], _taste(rng, num_styles, 5, liked=1, gain=1.0)),
    ]
    attributes = []
    match_SI = np.zeros((num_styles, size))
    for attribute, values, weights_SV in own + shared:
        noise = rng.gumbel(size=(size, len(values)))
        value_of = np.argmax(STYLE_SHARPNESS * weights_SV[style_of] + noise, axis=1).astype(np.int16)
        attributes.append(Attribute(name=attribute, values=values, value_of_I=value_of, weights_SV=weights_SV))
        match_SI += weights_SV[:, value_of]
    collections = _collections(rng, style_of, first=first_collection)
    return _Domain(
        name=name, attributes=tuple(attributes), match_SI=match_SI, style_I=style_of, collection_I=collections
    )


def _column(domains: list[_Domain], attribute: str) -> np.ndarray:
    return np.concatenate([one.values_of(attribute) for one in domains])


def _prices(rng: np.random.Generator, domains: list[_Domain]) -> np.ndarray:
    """By category and brand, with some noise."""
    brand_level = np.exp(rng.normal(0.0, 0.35, size=len(words.BRANDS)))
    base = np.concatenate(
        [
            np.array([words.BASE_PRICES[c] for c in words.CATEGORIES[one.name]])[one.values_of("category")]
            for one in domains
        ]
    )
    return np.asarray(base * brand_level[_column(domains, "brand")] * np.exp(rng.normal(0.0, 0.15, size=len(base))))


def _taste(rng: np.random.Generator, styles: int, values: int, *, liked: int, gain: float) -> np.ndarray:
    """Weights (styles, values): `liked` values of each style weigh about `gain`, the others about 0."""
    order = np.argsort(rng.random((styles, values)), axis=1)
    weights = rng.normal(0.0, 0.15, size=(styles, values))
    np.put_along_axis(weights, order[:, :liked], gain + rng.normal(0.0, 0.2, size=(styles, liked)), axis=1)
    return weights


def _collections(rng: np.random.Generator, style_of: np.ndarray, *, first: int) -> np.ndarray:
    """Collection of each item: items of one style, about COLLECTION_SIZE together."""
    collection = np.zeros(len(style_of), dtype=np.int64)
    number = first
    for style in range(int(style_of.max()) + 1):
        members = np.flatnonzero(style_of == style)
        rng.shuffle(members)
        for part in np.array_split(members, max(1, round(len(members) / COLLECTION_SIZE))):
            if len(part):
                collection[part] = number
                number += 1
    return collection
