"""The command line: `mmrec --help`.

Commands parse, call one function of mmrec or start one shell, and print. Errors are one line on stderr and status 1; a
command line that cannot be parsed ends with status 2.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from mmrec.cli import (
    admin_commands,
    ask_commands,
    evaluate_command,
    feed_commands,
    forget_commands,
    import_commands,
    init_command,
    item_commands,
    list_commands,
    metric_commands,
    model_commands,
    rejected_commands,
    stack_commands,
    state_commands,
    support_bundle,
)
from mmrec.errors import MmrecError

app = typer.Typer(
    help="A streaming recommender. Begin with `mmrec up`; in a second terminal `mmrec simulate` and `mmrec status`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
events_app = typer.Typer(help="Look at events on their way.", no_args_is_help=True)
app.add_typer(events_app, name="events")
items_app = typer.Typer(help="Look at the catalogue.", no_args_is_help=True)
app.add_typer(items_app, name="items")
scores_app = typer.Typer(help="The scoring matrix as a file.", no_args_is_help=True)
app.add_typer(scores_app, name="scores")

app.command()(init_command.init)
app.command()(stack_commands.up)
app.command()(stack_commands.status)
app.command()(metric_commands.metrics)
app.command()(stack_commands.logs)
app.command()(admin_commands.acts)
app.command()(admin_commands.engines)
app.command()(admin_commands.settings)
app.command("support-bundle")(support_bundle.support_bundle)
app.command()(stack_commands.down)
app.command()(stack_commands.doctor)
app.command()(stack_commands.demo)
app.command()(feed_commands.simulate)
app.command()(feed_commands.replay)
app.command("import")(import_commands.import_)
app.command()(state_commands.rebuild)
app.command()(state_commands.audit)
app.command()(state_commands.backup)
app.command()(state_commands.restore)
scores_app.command("export")(state_commands.scores_export)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(model_commands.train)
app.command()(model_commands.publish)
app.command()(evaluate_command.evaluate)
app.command()(list_commands.recommend)
app.command()(list_commands.batch)
app.command()(list_commands.similar)
app.command()(list_commands.rank)
app.command()(list_commands.rows)
app.command()(list_commands.why)
app.command()(list_commands.search)
app.command()(ask_commands.profile)
app.command()(forget_commands.forget)
events_app.command("tail")(ask_commands.events_tail)
events_app.command("rejected")(rejected_commands.events_rejected)
items_app.command("rejected")(rejected_commands.items_rejected)
items_app.command("show")(item_commands.items_show)
items_app.command("change")(admin_commands.items_change)
items_app.command("report")(item_commands.items_report)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command (by default that of the process's arguments), and end with its status."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        app(arguments, prog_name="mmrec")
        raise SystemExit(0)
    except MmrecError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("MMREC_TRACEBACK"):
            raise
        _fail(f"{type(error).__name__}: {error} (MMREC_TRACEBACK=1 shows where)")


def _fail(message: str) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(1) from None


if __name__ == "__main__":
    main()
