"""Relations between settings of one table: what must stand together, and what makes no sense alone."""

from typing import Any

from mmrec.errors import SettingError


def refuse_half(instance: Any, table: str, *names: str) -> None:
    """SettingError where some of the settings `names` are given, but not all."""
    empty = [name for name in names if not getattr(instance, name)]
    given = [name for name in names if name not in empty]
    if empty and given:
        raise SettingError((table, empty[0]), f"is empty, but {table}.{given[0]} is given; give both, or neither")


def refuse_unused(instance: Any, table: str, *names: str, needs: str) -> None:
    """SettingError where one of the settings `names` is given without the one that it `needs`."""
    if getattr(instance, needs):
        return
    for name in names:
        if getattr(instance, name):
            raise SettingError((table, name), f"is given, but {table}.{needs} is not, so it would have no effect")
