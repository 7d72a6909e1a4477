"""A fuzz test of every way in: see tests/fuzz/door.py for what holds, tests/fuzz/__main__.py for how to run it."""
