"""Fit an encoder to the catalogue: topic catalog-items -> a file, which the encoder's name then gives.

    python -m jobs.fit_encoder tfidf content/tfidf.json --config mmrec.toml
    [content] text_encoder = "tfidf:content/tfidf.json"

    python -m jobs.fit_encoder attribute-vocabulary content/vocabulary.json --config mmrec.toml
    [content] encoders = { attributes = "attribute-vocabulary:content/vocabulary.json" }

Fitted anew, the encoder has another fingerprint: the catalogue is encoded anew at the next start, and the release needs
training.
"""

import sys
from collections.abc import Iterator

from mmrec.catalog.cleaning import CleaningPolicy, cleaning_policy
from mmrec.config import Settings
from mmrec.content.feed import CatalogChanges, read_changes
from mmrec.content.fit import FITTED_KINDS, fit_encoder
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import open_topics, settings_from

log = get_logger("jobs.fit_encoder")


def catalogue(settings: Settings, policy: CleaningPolicy) -> Iterator[CatalogChanges]:
    """The catalogue's topic, cleaned."""
    for record in open_topics(settings).read(settings.kafka.catalog_items):
        yield read_changes([(record.key, record.value)], policy=policy)


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("kind", choices=tuple(FITTED_KINDS))
    parser.add_argument("file", help="what is fitted is written here")
    asked = parser.parse_args()
    configure_logging()

    def fit() -> None:
        settings = settings_from(asked.config)
        portions = catalogue(settings, cleaning_policy(settings.catalog))
        num_items = fit_encoder(asked.kind, portions, path=asked.file, cleaning=settings.content.text_cleaning)
        log.info("encoder_fitted", kind=asked.kind, file=asked.file, num_items=num_items)

    return exit_status(log, "fit_encoder", fit)


if __name__ == "__main__":
    sys.exit(main())
