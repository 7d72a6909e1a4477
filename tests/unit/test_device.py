"""Pictures are read ahead by threads beside a GPU and one by one beside a CPU: the same pictures either way."""

import numpy as np
import pytest

from mmrec.content.device import device, num_decoders, picture_batch
from mmrec.content.modalities.image import _read
from tests.unit.test_content import picture


@pytest.mark.parametrize("num_pictures", [0, 1, 4, 9])
def test_pictures_read_by_threads_are_those_read_alone_in_the_same_order(num_pictures: int) -> None:
    payloads = [picture((20 * n, 0, 0)) if n % 3 else b"no picture" for n in range(num_pictures)]
    alone = [each for batch in _read(payloads, 4, size=8, num_threads=1) for each in batch]
    ahead = [each for batch in _read(payloads, 4, size=8, num_threads=3) for each in batch]
    assert len(alone) == len(ahead) == num_pictures
    assert [each is None for each in alone] == [n % 3 == 0 for n in range(num_pictures)]
    for one, other in zip(alone, ahead, strict=True):
        assert np.array_equal(one, other)


def test_a_machine_without_a_gpu_reads_and_encodes_on_its_processors() -> None:
    if device() == "cpu":
        assert num_decoders() == 1
        assert picture_batch() == 4
    else:
        assert picture_batch() > 4
