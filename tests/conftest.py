"""What all tests share: the fixtures of tests/servers.py and tests/picture_shop.py, and property tests that no slow machine can fail."""

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.picture_shop"]
settings.register_profile("house", deadline=None)
settings.load_profile("house")
