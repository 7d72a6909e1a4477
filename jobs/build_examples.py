"""Build training examples from the event log.

    python -m jobs.build_examples --config mmrec.toml --out examples

Writes examples/retrieval and examples/ranking; jobs.train reads them. Prints one JSON line of counts: labels by part,
and everything that was dropped, by reason.
"""

import json
import sys
import time
from dataclasses import fields
from pathlib import Path

from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.build import BuiltExamples, build_examples
from mmrec.training.event_columns import EVENT_COLUMNS
from mmrec.training.example_config import ExampleConfig
from mmrec.wire.declared import argument, declared
from mmrec.wiring import open_content_store, open_event_log, open_feature_store, settings_from

log = get_logger("jobs.build_examples")


def run(config_file: str | None, out: Path, config: ExampleConfig) -> BuiltExamples:
    """Read the log and the catalogue, build, and write below `out`."""
    settings = settings_from(config_file)
    events = open_event_log(settings).read(columns=EVENT_COLUMNS)
    log.info("log_read", num_events=events.num_rows)
    item_ids = {*events["item_id"].unique().to_pylist(), *open_content_store(settings).load_matrix().item_ids}
    entries = open_feature_store(settings).read_item_content(sorted(item_ids))
    log.info("catalogue_read", num_items=len(item_ids), num_with_content=len(entries))
    started_s = time.monotonic()
    built = build_examples(events, entries, settings=settings, config=config)
    log.info("examples_built", seconds=round(time.monotonic() - started_s, 3), **built.report)
    built.save(out)
    log.info("examples_written", folder=str(out))
    return built


def main() -> int:
    """Parse the command line and build."""
    parser = shell_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the examples to")
    defaults = ExampleConfig()
    for field in fields(ExampleConfig):
        default = getattr(defaults, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(
            option,
            dest=field.name,
            type=argument(declared(ExampleConfig, field.name)),
            default=default,
            help=f"default {default}",
        )
    arguments = vars(parser.parse_args())
    configure_logging()

    def build() -> None:
        config = ExampleConfig(**{field.name: arguments[field.name] for field in fields(ExampleConfig)})
        print(json.dumps(run(arguments["config"], arguments["out"], config).report), flush=True)  # noqa: T201

    return exit_status(log, "build_examples", build)


if __name__ == "__main__":
    sys.exit(main())
