"""What is configured fits into what is stored."""

from dataclasses import replace

import numpy as np
import pytest

from mmrec.config import Settings
from mmrec.errors import ConfigurationError
from mmrec.scoring.names import Names
from mmrec.scoring.packing import pack, unpack
from mmrec.scoring.profile import empty_profile
from mmrec.scoring.settings import MAX_NUMBER, MAX_RATES, MAX_RECENT, ScoringConfig

CONFIG = ScoringConfig(behaviors=Settings().behaviors)


@pytest.mark.parametrize(
    ("bounds", "most"),
    [
        ({"max_recent": MAX_RECENT + 1}, "max_recent is 65536; give a whole number from 1 to 65,535"),
        ({"ring_size": MAX_NUMBER + 1}, "ring_size"),
        ({"max_items": MAX_NUMBER + 1}, "max_items"),
        ({"cap_events": MAX_NUMBER + 1}, "cap_events"),
        ({"decay_per_day": (0.1,) * (MAX_RATES + 1)}, "decay_per_day"),
    ],
)
def test_bounds_beyond_what_a_stored_profile_holds_are_refused(bounds: dict, most: str) -> None:
    with pytest.raises(ConfigurationError, match=most):
        replace(CONFIG, **bounds)


def test_as_many_newest_events_and_half_lives_as_may_be_configured_can_be_stored() -> None:
    config = replace(CONFIG, max_recent=MAX_RECENT, decay_per_day=(0.1,) * MAX_RATES)
    times_L = np.arange(float(config.max_recent))
    profile = replace(
        empty_profile(behaviors=config.behaviors, num_half_lives=len(config.decay_per_day)),
        recent_names=Names([f"i{n % 7}" for n in range(config.max_recent)]),
        recent_behavior_ids_L=np.zeros(config.max_recent, dtype=np.uint8),
        recent_event_times_L=times_L,
        recent_known_times_L=times_L,
    )
    assert pack(unpack(pack(profile))) == pack(profile)
    assert len(unpack(pack(profile)).recent_item_ids) == config.max_recent
