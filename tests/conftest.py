"""What all tests share: fixtures of real servers, and property tests that no slow machine can fail."""

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.picture_shop"]
settings.register_profile("house", deadline=None)
settings.load_profile("house")
