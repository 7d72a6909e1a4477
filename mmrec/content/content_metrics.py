"""What encode_items shows to Prometheus: the catalogue's size, and what became of its items."""

from collections.abc import Mapping
from typing import Any

from mmrec.telemetry.metrics import Metrics


class ContentMetrics:
    """Fills one registry; called by the job's own thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def figures(self, figures: Mapping[str, Any]) -> None:
        """What CatalogFeed.figures() says, as it goes into the status file, with what the job adds to it."""
        self._metrics.set("mmrec_catalog_items", figures["num_catalogue_items"])
        self._metrics.set("mmrec_catalog_items_waiting", figures["num_waiting_in_bulk"])
        self._metrics.set("mmrec_live_collection_ok", float(bool(figures["live_collection"]["release_id"])))
        for reason, number in figures["rejected_total"].items():
            self._metrics.set("mmrec_catalog_rejected_total", number, reason=reason)
        for reason, number in figures["mended"].items():
            self._metrics.set("mmrec_catalog_mended_total", number, reason=reason)
        for attribute, number in figures["inferred"].items():
            self._metrics.set("mmrec_attributes_inferred_total", number, attribute=attribute)
        for attribute, number in figures["unsure"].items():
            self._metrics.set("mmrec_attributes_unsure_total", number, attribute=attribute)
        for place, number in figures["absent"].items():
            modality, _, reason = place.partition(".")
            self._metrics.set("mmrec_content_absent_total", number, modality=modality, reason=reason)
        for name in ("encoded", "cached"):
            for modality, number in figures[name].items():
                self._metrics.set(f"mmrec_content_{name}_total", number, modality=modality)
