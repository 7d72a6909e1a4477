"""Pictures that decoders do not survive, made here: no test needs a file of unknown origin."""

import io

from PIL import Image


def saved(image: Image.Image, form: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def damaged_avif() -> bytes:
    """Opens, and its decoder raises RuntimeError."""
    whole = bytearray(saved(Image.radial_gradient("L").resize((64, 64)).convert("RGB"), "AVIF"))
    start = whole.index(b"mdat") + 4
    whole[start:] = bytes(len(whole) - start)
    return bytes(whole)


def endless_jpeg(num_scans: int) -> bytes:
    """Each scan is 59 bytes and takes a walk over the whole picture."""
    whole = saved(Image.new("RGB", (4000, 4000), (9, 200, 30)), "JPEG", progressive=True, quality=5)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * num_scans + whole[-2:]
