"""Create the topics of a deployment that do not exist yet.

python -m services.stack.topics --config mmrec.toml
"""

import sys

from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import create_topics, settings_from

log = get_logger("services.stack.topics")


def main() -> int:
    """Connect, create, report."""
    arguments = shell_parser("Create the topics of a deployment.").parse_args()
    configure_logging()
    return exit_status(
        log, "topics", lambda: log.info("topics_ready", created=create_topics(settings_from(arguments.config)))
    )


if __name__ == "__main__":
    sys.exit(main())
