"""Writes feature_store.yaml for this deployment and applies the views.

    python -m feature_repo.apply --config mmrec.toml

Running it again changes nothing. The online store is SQLite (a file in the repository's folder, in WAL mode, so that
readers never wait for a writer) or Redis, as [stores] says.
"""

import argparse
import json
from pathlib import Path

from mmrec.config import StoreSettings
from mmrec.stores.feast.repository import apply_objects, is_applied, repository_yaml
from mmrec.stores.feast.store import check_rates
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import settings_from

log = get_logger("__main__")


def apply_repository(stores: StoreSettings, decay_per_day: tuple[float, ...]) -> None:
    """Create or confirm the Feast repository of a deployment.

    Raises:
        IncompatibleStateError: the folder was applied with another schema, or its profiles decay by other rates.
    """
    from feature_repo.definitions import definitions

    folder = Path(stores.feature_repo)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(repository_yaml(stores), encoding="utf-8")
    if is_applied(folder):
        check_rates(str(folder), decay_per_day)
    apply_objects(folder, definitions(offline_folder=folder / "offline", decay_per_day=decay_per_day))


def main() -> None:
    """Parse, apply, report."""
    parser = argparse.ArgumentParser(description="Apply the feature views of a deployment.")
    parser.add_argument("--config", help="mmrec.toml; MMREC_CONFIG where absent")
    arguments = parser.parse_args()
    configure_logging()
    settings = settings_from(arguments.config)
    apply_repository(settings.stores, settings.scoring.decay_per_day)
    log.info(
        "features_applied",
        folder=settings.stores.feature_repo,
        online_store=settings.stores.online_store,
        decay_per_day=json.dumps(list(settings.scoring.decay_per_day)),
    )


if __name__ == "__main__":
    main()
