"""A world of two domains whose users like one style in both, so that the right answers across domains are known."""

import numpy as np

from mmrec.evaluation.interactions import Interactions, ItemFeatures, ItemLabels

NUM_STYLES, ITEMS_EACH = 4, 6
NUM_ITEMS = 2 * NUM_STYLES * ITEMS_EACH
"""The first half is of domain a, the second of domain b."""
STYLE_I = np.tile(np.repeat(np.arange(NUM_STYLES), ITEMS_EACH), 2)
DOMAIN_I = np.repeat([0, 1], NUM_ITEMS // 2)
NUM_BOTH, NUM_ONE = 80, 20
"""Users of both domains, and users of a alone."""


def style_world() -> Interactions:
    """Every user likes one style in both domains; the last users are seen in domain a alone."""
    generator = np.random.default_rng(2)
    users, items = [], []
    for user in range(NUM_BOTH + NUM_ONE):
        liked = np.flatnonzero((user % NUM_STYLES == STYLE_I) & ((DOMAIN_I == 0) | (user < NUM_BOTH)))
        chosen = generator.permutation(liked)[: 8 if user < NUM_BOTH else 4].tolist()
        users += [user] * len(chosen)
        items += chosen
    return Interactions.in_order(
        user_ids=[f"u{user}" for user in range(NUM_BOTH + NUM_ONE)],
        item_ids=[f"i{item}" for item in range(NUM_ITEMS)],
        behavior_names=("purchase",),
        users_E=users,
        items_E=items,
        times_E=np.arange(len(users)),
        behaviors_E=np.zeros(len(users)),
    )


def style_items() -> ItemFeatures:
    """Content tells the style, in either domain by other numbers: nothing in it says which styles belong together."""
    vectors_ID = np.eye(2 * NUM_STYLES, dtype=np.float32)[STYLE_I + NUM_STYLES * DOMAIN_I]
    labels = ItemLabels(names=("domain=a", "domain=b"), offsets=np.arange(NUM_ITEMS + 1), codes_A=DOMAIN_I)
    return ItemFeatures(
        num_items=NUM_ITEMS, vectors={"text": vectors_ID}, present={"text": np.ones(NUM_ITEMS, bool)}, labels=labels
    )
