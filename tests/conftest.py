"""What all tests share: fixtures of real servers, property tests that no slow machine can fail, and who runs what.

Property tests try the same examples in every run, so that a change is judged by what it changed; `make explore` tries
new ones, and what fails there becomes an @example.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.picture_shop"]
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1_000, print_blob=True)
settings.load_profile("house")

ROOMS = ("e2e", "integration", "contract", "fuzz", "unit")
"""In the order they are run: the longest files first, so that no worker is left with one of them at the end."""
WITH_RAY = ("tests/e2e/", "tests/integration/test_recommender.py", "tests/integration/test_train.py")
"""Never two of them at once: Rays of one machine take their workers' ports from the same range."""


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: several wait for each other at every small step where a machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the rooms into their order."""
    order = {room: number for number, room in enumerate(ROOMS)}
    tests = config.rootpath / "tests"
    items.sort(key=lambda item: order.get(item.path.relative_to(tests).parts[0], 0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker is given whole files, since a file's tests share what its fixtures start, and one all files with Ray."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "with Ray" if nodeid.startswith(WITH_RAY) else super()._split_scope(nodeid)

    return Files(config, log)
