"""Create the topics of a deployment that do not exist yet.

python -m services.stack.topics --config mmrec.toml
"""

import argparse
import sys

from mmrec.errors import MmrecError
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import create_topics, settings_from

log = get_logger(__name__)


def main() -> int:
    """Connect, create, report."""
    parser = argparse.ArgumentParser(description="Create the topics of a deployment.")
    parser.add_argument("--config", help="TOML file; default: MMREC_CONFIG")
    arguments = parser.parse_args()
    configure_logging()
    try:
        made = create_topics(settings_from(arguments.config))
    except MmrecError as error:
        log.error("topics_failed", reason=str(error))
        return 1
    log.info("topics_ready", created=made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
