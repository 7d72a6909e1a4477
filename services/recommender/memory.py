"""The garbage collector of a replica: what a release brought along stays until the next one (FACTS 6)."""

import gc


def settle_memory() -> None:
    """Collect once, then leave what is alive out of later collections: they need not walk the catalogue again."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
