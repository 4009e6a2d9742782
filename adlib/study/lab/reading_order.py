"""The order in which the notebooks are read, and a thumbnail of each.

`notebooks/README.md` has a line a notebook, in the order in which they are read; nothing else says
it. Thumbnails are made of the pictures of `results/`.
"""

import base64
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from adlib.host import files
from adlib.study.pictures import look

README, THUMBNAILS = "README.md", "thumbnails"
PROFILE = "quick"  # its images come with packages, under licences that let pictures be shown
WIDTHS = (320, 240, 160, 80)  # in pixels; pages show 160, and sharp screens have two for one
SHAPE = 0.9  # height by width, at most: of a taller picture the top is kept
BYTES, QUALITY = 10_000, 75  # of one thumbnail, at most; of WebP


def read(notebooks: Path) -> list[str]:
    """The notebooks that `README.md` of the folder links to, `<paper>/<notebook>`, in its order."""
    text = (notebooks / README).read_text(encoding="utf-8")
    return re.findall(r"\]\((\w+/\w+)\.ipynb\)", text)


def thumbnail(notebooks: Path, name: str) -> Path:
    """Where the thumbnail of the notebook `<paper>/<notebook>` lies."""
    return notebooks / THUMBNAILS / f"{name.replace('/', '-')}.webp"


def write(notebooks: Path, results: Path, executed: Mapping[str, Path] | None = None) -> list[Path]:
    """Write the thumbnails of all notebooks that have a picture; return the files.

    Thumbnails of notebooks that are gone are removed. One whose notebook has no picture now stays.

    Args:
        notebooks: folder with the papers' folders.
        results: folder with those of the profiles.
        executed: paper -> its executed notebook `verdict`, which leaves no picture in `results`.

    Raises:
        ValueError: a picture is broken, or a given notebook has none; the message names it.
    """
    names = [f"{file.parent.name}/{file.stem}" for file in sorted(notebooks.glob("*/*.ipynb"))]
    wanted = {thumbnail(notebooks, name) for name in names}
    for gone in {*(notebooks / THUMBNAILS).glob("*.webp")} - wanted:
        gone.unlink()
    written = []
    for name in names:
        paper, _, notebook = name.partition("/")
        pictures = sorted((results / PROFILE / paper).glob(f"{notebook}__*.png"))
        if pictures:
            look(pictures[0])
            picture = pictures[0].read_bytes()
        elif notebook == "verdict" and paper in (executed or {}):
            picture = first_output(executed[paper])
        else:
            continue
        written.append(thumbnail(notebooks, name))
        with files.atomic(written[-1]) as temporary:
            temporary.write_bytes(small(picture))
    return written


def first_output(executed: Path) -> bytes:
    """The first PNG among the outputs of an executed notebook; a ValueError where there is none."""
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode("".join(output["data"]["image/png"]))
    raise ValueError(f"{executed}: no output is a PNG")


def small(picture: bytes) -> bytes:
    """A WebP of at most `BYTES` bytes and one of `WIDTHS`, or narrower, on white."""
    with Image.open(io.BytesIO(picture)) as image:
        image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    whole = Image.alpha_composite(white, image).convert("RGB")
    for width in WIDTHS:
        part = whole.resize((width, max(1, round(width * whole.height / whole.width))))
        part = part.crop((0, 0, width, min(part.height, round(SHAPE * width))))
        file = io.BytesIO()
        part.save(file, "WEBP", quality=QUALITY, method=6)
        if file.tell() <= BYTES:
            break
    return file.getvalue()
