"""A made catalogue in the Fashion Product Images form, with the faults that its users report, in known numbers.

    write_fashion_form(tmp_path)        tmp_path/styles.csv, tmp_path/images/<id>.png

The counts are those of the real file: 22 titles hold commas that no quotes protect, so that their rows have 11 cells or
more; columns without names trail behind; five pictures are not there; and values are missing mostly in usage.
"""

import io
from pathlib import Path
from typing import Final

from PIL import Image

COLUMNS: Final = (
    *("id", "gender", "masterCategory", "subCategory", "articleType"),
    *("baseColour", "season", "year", "usage", "productDisplayName"),
)
NUM_ITEMS: Final = 420
NUM_OVERFLOWING: Final = 22
NUM_MISSING_FILES: Final = 5
JUNK_COLUMNS: Final = ("Unnamed: 10", "Unnamed: 11")
MISSING: Final = {"usage": 317, "season": 21, "baseColour": 15, "productDisplayName": 7, "year": 1}
RARE: Final = {"articleType": {"Ipad": 1, "Umbrellas": 3}}
"""Attribute -> class -> items; every other class has 10 or more."""
FIRST_ID: Final = 1001


def overflowing_title(number: int) -> str:
    """Title of the overflowing row `number`; with one comma or several, so that some rows outgrow the header."""
    return f"Puma Men Shirt {number}, Slim Fit" + ", Blue, Size M" * (number % 2)


def rows() -> list[list[str]]:
    """Cells of each item, as they stand between commas."""
    made = []
    for number in range(NUM_ITEMS):
        kind = ("Shirts", "Tshirts", "Casual Shoes", "Watches")[number % 4]
        if number < 4:
            kind = "Ipad" if number == 0 else "Umbrellas"
        values = {
            "id": str(FIRST_ID + number),
            "gender": ("Men", "Women")[number % 2],
            "masterCategory": "Apparel" if "hirt" in kind else "Accessories",
            "subCategory": "Topwear" if "hirt" in kind else "Other Wear",
            "articleType": kind,
            "baseColour": ("Blue", "Black", "Red")[number % 3],
            "season": ("Summer", "Fall")[number % 2],
            "year": str(2011 + number % 3),
            "usage": ("Casual", "Sports")[number % 2],
            "productDisplayName": f"Brand{number} {kind}",
        }
        # From the end backwards, each column at other rows, half of them written as "NA": both mean none here.
        for shift, (name, count) in enumerate(MISSING.items()):
            if (NUM_ITEMS - 1 - number - 11 * shift) % NUM_ITEMS < count:
                values[name] = "NA" if number % 2 and name != "productDisplayName" else ""
        if 10 <= number < 10 + NUM_OVERFLOWING:
            values["productDisplayName"] = overflowing_title(number - 10)
        made.append([values[name] for name in COLUMNS])
    return made


def write_fashion_form(folder: Path) -> Path:
    """Write styles.csv and the pictures; returns the folder."""
    lines = [",".join((*COLUMNS, *JUNK_COLUMNS))]
    for cells in rows():
        overflows = "," in cells[-1]
        lines.append(",".join(cells) + ("" if overflows else ",,"))
    (folder / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "images").mkdir()
    for number in range(NUM_ITEMS - NUM_MISSING_FILES):
        picture = io.BytesIO()
        Image.new("RGB", (4, 4), (number % 256, number // 256, 7)).save(picture, format="PNG")
        (folder / "images" / f"{FIRST_ID + number}.png").write_bytes(picture.getvalue())
    return folder
