"""A cleaning report as a section of a page: what was found, with examples, and every attribute."""

from mmrec.catalog.cleaning_report import CleaningReport
from mmrec.reports import page


def cleaning_section(report: CleaningReport) -> str:
    """Findings by reason and attribute, then attributes with their missing and rare values."""
    document = report.document()
    findings = [
        (
            found["reason"].replace("_", " "),
            found["attribute"],
            found["count"],
            "; ".join(f"{example['place']} {example['detail']}".strip() for example in found["examples"]),
        )
        for found in document["findings"]
    ]
    attributes = [
        (
            name,
            row["num_items"],
            row["num_missing"],
            "very many" if row["num_values"] is None else row["num_values"],
            ", ".join(f"{rare['value']} ({rare['num_items']})" for rare in row["rare"]) or "-",
        )
        for name, row in document["attributes"].items()
    ]
    kept = document["num_items"] - document["num_dropped"]
    return page.section(
        "Cleaning",
        page.table(findings, ("finding", "attribute", "count", "examples")),
        page.table(
            attributes, ("attribute", "items", "missing", "values", f"rare (fewer than {document['rare_below']} items)")
        ),
        text=f"{document['num_items']:,} items read, {kept:,} kept; {document['num_dropped']:,} have no title.",
    )
