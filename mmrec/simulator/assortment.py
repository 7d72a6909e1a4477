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
from mmrec.simulator.settings import StorefrontConfig, generator

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


def build_assortment(config: StorefrontConfig) -> Assortment:
    """The items of a storefront; a function of the configuration alone."""
    rng = generator(config, 1)
    styles = config.num_styles
    num_beauty = config.num_items // 2
    sizes = (num_beauty, config.num_items - num_beauty)
    # Colors, patterns, shapes, brands and seasons mean the same in both domains: taste carries over.
    shared: list[tuple[str, tuple[str, ...], np.ndarray]] = [
        ("color", tuple(words.COLORS), _taste(rng, styles, len(words.COLORS), liked=2, gain=2.2)),
        ("pattern", words.PATTERNS, _taste(rng, styles, len(words.PATTERNS), liked=1, gain=1.4)),
        ("shape", words.SHAPES, _taste(rng, styles, len(words.SHAPES), liked=1, gain=0.9)),
        ("brand", words.BRANDS, _taste(rng, styles, len(words.BRANDS), liked=2, gain=1.6)),
        ("season", words.SEASONS, np.zeros((styles, len(words.SEASONS)))),
    ]
    per_domain: list[tuple[Attribute, ...]] = []
    style_parts, collection_parts, match_parts = [], [], []
    next_collection = 0
    for domain, size in zip(words.DOMAINS, sizes, strict=True):
        style_of = np.arange(size) % styles
        rng.shuffle(style_of)
        own: list[tuple[str, tuple[str, ...], np.ndarray]] = [
            ("category", words.CATEGORIES[domain], _taste(rng, styles, 8, liked=3, gain=1.8)),
            (words.FINISH_ATTRIBUTE[domain], words.FINISHES[domain], _taste(rng, styles, 5, liked=1, gain=1.0)),
        ]
        attributes = []
        match_SI = np.zeros((styles, size))
        for name, values, weights_SV in own + shared:
            noise = rng.gumbel(size=(size, len(values)))
            value_of = np.argmax(STYLE_SHARPNESS * weights_SV[style_of] + noise, axis=1).astype(np.int16)
            attributes.append(Attribute(name=name, values=values, value_of_I=value_of, weights_SV=weights_SV))
            match_SI += weights_SV[:, value_of]
        per_domain.append(tuple(attributes))
        collections = _collections(rng, style_of, first=next_collection)
        next_collection = int(collections.max()) + 1
        style_parts.append(style_of)
        collection_parts.append(collections)
        match_parts.append(match_SI)
    by_name = [{a.name: a for a in attributes} for attributes in per_domain]

    def column(name: str) -> np.ndarray:
        return np.concatenate([named[name].value_of_I for named in by_name])

    brand_level = np.exp(rng.normal(0.0, 0.35, size=len(words.BRANDS)))
    base = np.concatenate(
        [
            np.array([words.BASE_PRICES[c] for c in words.CATEGORIES[domain]])[named["category"].value_of_I]
            for domain, named in zip(words.DOMAINS, by_name, strict=True)
        ]
    )
    price = base * brand_level[column("brand")] * np.exp(rng.normal(0.0, 0.15, size=config.num_items))
    publish = -rng.uniform(1.0, 400.0, size=config.num_items)
    is_new = rng.random(config.num_items) < config.share_new_items
    publish[is_new] = rng.uniform(0.0, config.days, size=int(is_new.sum()))
    width = max(5, len(str(config.num_items)))
    return Assortment(
        item_ids=tuple(
            f"{domain[0]}{index:0{width}d}"
            for domain, size in zip(words.DOMAINS, sizes, strict=True)
            for index in range(size)
        ),
        num_beauty=num_beauty,
        attributes=(per_domain[0], per_domain[1]),
        match_SI=np.concatenate(match_parts, axis=1).astype(np.float32),
        log_popularity_I=rng.normal(0.0, POPULARITY_SIGMA, size=config.num_items),
        price_I=np.maximum(1, np.round(price)) - 0.05,
        color_I=column("color"),
        brand_I=column("brand"),
        season_I=column("season"),
        style_I=np.concatenate(style_parts),
        collection_I=np.concatenate(collection_parts),
        publish_day_I=publish,
        has_image_I=rng.random(config.num_items) >= config.share_without_image,
    )


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
