"""Changed profiles as they are stored: packed, each with its JSON text (mmrec.features.clear)."""

from collections.abc import Iterable, Mapping
from itertools import repeat

from mmrec.features.clear import clear_texts, clear_texts_of
from mmrec.features.values import PackedProfile
from mmrec.scoring.packed_columns import ProfileColumns, packed_of
from mmrec.scoring.packing import pack
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig

KeyedColumns = tuple[list[str], ProfileColumns]
"""Profile keys, and the profiles as columns."""


def packed_profiles(
    profiles: Mapping[str, UserProfile], columns: Iterable[KeyedColumns] = (), *, config: ScoringConfig | None
) -> dict[str, PackedProfile]:
    """Profiles of both forms by key.

    Args:
        config: Weights and decay rate of the texts; without it they are empty.
    """
    texts: Iterable[str] = clear_texts(list(profiles.values()), config=config) if config else repeat("")
    found = {
        key: PackedProfile(packed=pack(profile), clear=text)
        for (key, profile), text in zip(profiles.items(), texts, strict=False)
    }
    for keys, theirs in columns:
        texts = clear_texts_of(theirs, config=config) if config else repeat("")
        found.update(zip(keys, map(PackedProfile, packed_of(theirs), texts), strict=True))
    return found
