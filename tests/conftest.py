"""What all tests share: fixtures of real servers, property tests that no slow machine can fail, and who runs what."""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.picture_shop"]
settings.register_profile("house", deadline=None)
settings.load_profile("house")

ROOMS = ("e2e", "integration", "contract", "fuzz", "unit")
"""In the order they are run: the longest files first, so that no worker is left with one of them at the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers of pytest-xdist are given whole files, since a file's tests share what its fixtures start.

    Files that share a group of their own are one worker's, one after the other.
    """
    tests = config.rootpath / "tests"
    place = {item: item.path.relative_to(tests) for item in items}
    order = {room: number for number, room in enumerate(ROOMS)}
    items.sort(key=lambda item: order.get(place[item].parts[0], 0))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(place[item].with_suffix("").as_posix()))
