"""`mmrec items show` and `mmrec items report`: what serving knows of one item; what cleaning found in all of them."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from mmrec.catalog.item import CatalogEntry
from mmrec.cli.terminal import ConfigOption, JsonOption, deployment_settings, print_json
from mmrec.errors import NotFoundError


def items_show(
    item_id: Annotated[str, typer.Argument(help="the item")],
    *,
    config: ConfigOption = "",
    as_json: JsonOption = False,
) -> None:
    """One item as lists show it, and whether they may contain it now.

    Example: `mmrec items show b00042`
    """
    from mmrec.cli.rejected_report import printable
    from mmrec.serving.explain import shown_when
    from mmrec.wiring import open_feature_store

    entry = open_feature_store(deployment_settings(config)).read_item_content([item_id]).get(item_id)
    if entry is None:
        raise NotFoundError(f"item {item_id!r} is not in the catalogue; `mmrec items rejected` says if it was refused")
    when = shown_when(entry, now_s=time.time())
    if as_json:
        print_json({**asdict(entry), "availability": entry.availability.name, "shown": when})
        return
    said = {**asdict(entry), "attributes": dict(entry.given_attributes), "availability": entry.availability.name}
    for name, value in {**said, "inferred_attributes": _inferred(entry), "shown": when}.items():
        typer.echo(f"{name:<19} {printable(str(value))}")


def _inferred(entry: CatalogEntry) -> str:
    """What a model filled in, with its confidence."""
    sure = sorted(entry.inferred_attributes.items())
    return ", ".join(f"{name}={entry.attributes[name]} ({confidence:.0%} sure)" for name, confidence in sure)


def items_report(*, config: ConfigOption = "", as_json: JsonOption = False) -> None:
    """Cleaning report of the running catalogue: missing, broken, duplicate and rare values, counted, with examples.

    Example: `mmrec items report`
    """
    from mmrec.catalog.cleaning import cleaning_policy
    from mmrec.catalog.topic_report import topic_report
    from mmrec.cli.rejected_report import printable
    from mmrec.wiring import open_topics

    settings = deployment_settings(config)
    report = topic_report(
        lambda: open_topics(settings).read(settings.kafka.catalog_items),
        cleaning_policy(settings.catalog),
        rare_below=settings.catalog.report_rare_below,
    )
    if as_json:
        print_json(report.document())
        return
    for line in report.lines():
        typer.echo(printable(line))
