"""Writes feature_store.yaml for this deployment and applies the views.

    python -m feature_repo.apply --config mmrec.toml

Running it again changes nothing. The online store is SQLite (a file in the repository's folder, in WAL mode, so that
readers never wait for a writer) or Redis, as [stores] says.
"""

import json
import sys
from pathlib import Path

from mmrec.config import StoreSettings
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import apply_features, settings_from

log = get_logger("feature_repo.apply")


def apply_repository(stores: StoreSettings, decay_per_day: tuple[float, ...]) -> None:
    """Create or confirm the Feast repository of a deployment.

    Raises:
        IncompatibleStateError: the folder was applied with another schema, or its profiles decay by other rates.
    """
    from feature_repo.definitions import definitions

    objects = definitions(offline_folder=Path(stores.feature_repo) / "offline", decay_per_day=decay_per_day)
    apply_features(stores, objects, decay_per_day=decay_per_day)


def main() -> int:
    """Parse, apply, report."""
    arguments = shell_parser(__doc__).parse_args()
    configure_logging()

    def apply() -> None:
        settings = settings_from(arguments.config)
        apply_repository(settings.stores, settings.scoring.decay_per_day)
        log.info(
            "features_applied",
            folder=settings.stores.feature_repo,
            online_store=settings.stores.online_store,
            decay_per_day=json.dumps(list(settings.scoring.decay_per_day)),
        )

    return exit_status(log, "features", apply)


if __name__ == "__main__":
    sys.exit(main())
