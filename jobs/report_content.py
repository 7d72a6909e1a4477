"""One page about the content of a catalogue: cleaning, pictures of the data, frozen encoders, and what was trained.

    python -m jobs.report_content --dataset fashion_catalog         a data set in the folder MMREC_DATA_DIR names
    python -m jobs.report_content --dataset storefront              the simulated shop; needs no data
    python -m jobs.report_content --dataset my/catalogue.csv        any form that `mmrec import` reads
    python -m jobs.report_content --train attributes --train align  also trains these recipes on it, in this process
    python -m jobs.report_content --findings aligned                with what an earlier training left in a folder
    python -m jobs.report_content --image-encoder ./clip --text-encoder ./clip     one that has both in one space,
                                                                    measured as it is

Vectors are kept in the cache folder by content, so that a second run encodes nothing. The page opens from disk; nothing
in it is loaded from elsewhere.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path

from mmrec.config import Settings
from mmrec.content.registry import LazyEncoder
from mmrec.content.store import ContentStore
from mmrec.disk.files import replace_file
from mmrec.home import cache_folder, data_folder
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.reports.catalogues import STOREFRONT, read_catalogue
from mmrec.reports.content_report import content_report
from mmrec.reports.encoded_catalogue import ReportEncoders, encode_catalogue
from mmrec.reports.findings import read_findings
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.training.content_trainings import CONTENT_RECIPES, train_on_catalogue
from mmrec.training.one_space import one_space_findings
from mmrec.training.run import use_threads
from mmrec.wire.declared import AtLeastOne, argument
from mmrec.wiring import settings_from

log = get_logger("jobs.report_content")
PROGRAM = "report_content"
OUT = Path(".mmrec") / "report-content.html"
IMAGES, TEXT = ("efficientnet-lite0", "color-lab"), "minilm"
FINETUNE_PICTURES = 3_000
"""A page is looked at within half an hour; `jobs.train --task finetune` takes all pictures."""
QUICK_IMAGES, QUICK_TEXT, QUICK_ITEMS = ("color-histogram",), "hashing-tf", 240


def run(asked: Namespace, settings: Settings) -> Path:
    """Write the page; returns its path."""
    trained = [read_findings(folder) for folder in asked.findings]  # refused before anything long begins
    images = asked.image_encoder or (QUICK_IMAGES if asked.quick else IMAGES)
    text = asked.text_encoder or (QUICK_TEXT if asked.quick else TEXT)
    catalogue = read_catalogue(
        asked.dataset,
        data_folder=data_folder(),
        settings=settings.catalog,
        max_items=asked.max_items or (QUICK_ITEMS if asked.quick else None),
    )
    log.info("catalogue_read", dataset=asked.dataset, items=len(catalogue.items))
    threads = asked.num_threads
    encoders = ReportEncoders(
        images=[LazyEncoder("image", name, num_threads=threads) for name in images],
        text=LazyEncoder("text", text, num_threads=threads),
    )
    folder = asked.out.parent / asked.out.stem
    store = ContentStore(folder / "content", cache_folder=cache_folder() / "content")
    encoded = encode_catalogue(
        catalogue.items, encoders, store=store, tell=log.info, cleaning=settings.content.text_cleaning
    )
    use_threads(threads)
    trained += one_space_findings(encoded, settings)
    trained += train_on_catalogue(
        asked.train, encoded, settings, folder, tell=log.info, finetune_pictures=asked.finetune_pictures
    )
    replace_file(asked.out, content_report(catalogue, encoded, trained=trained))
    return Path(asked.out)


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("--dataset", default=STOREFRONT, help="storefront, a data set's name, or a path")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the page (default: {OUT})")
    parser.add_argument("--train", choices=CONTENT_RECIPES, action="append", default=[], help="a recipe to train")
    parser.add_argument(
        "--finetune-pictures",
        type=argument(AtLeastOne),
        default=FINETUNE_PICTURES,
        help=f"fine-tuning learns from the first so many (default: {FINETUNE_PICTURES:,}), a tenth of a second each",
    )
    parser.add_argument("--findings", type=Path, action="append", default=[], help="output folder of a training")
    parser.add_argument("--image-encoder", action="append", default=[], help="by name; the first one makes the lists")
    parser.add_argument("--text-encoder", default="", help=f"by name (default: {TEXT})")
    parser.add_argument("--max-items", type=argument(AtLeastOne), help="only the first so many items with a picture")
    parser.add_argument("--num-threads", type=argument(AtLeastOne), default=os.cpu_count() or 1)
    parser.add_argument(
        "--quick", action="store_true", help=f"cheap encoders, {QUICK_ITEMS} items unless --max-items says otherwise"
    )
    asked = parser.parse_args()
    configure_logging()

    def report() -> None:
        settings = settings_from(asked.config) if asked.config else Settings()
        log.info("report_written", path=str(run(asked, settings)))

    return exit_status(log, PROGRAM, report)


if __name__ == "__main__":
    sys.exit(main())
