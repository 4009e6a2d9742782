"""The reading order of the notebooks, and their thumbnails."""

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from adlib.study.lab import reading_order


def png(width, height, colour=None):
    """A PNG of noise, or of one colour."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if colour is not None:
        values[:] = colour
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def tree(tmp_path):
    """Three notebooks of a paper, one with two pictures, and a thumbnail of one that is gone."""
    for name in ("table", "table_of_more", "verdict"):
        file = tmp_path / "notebooks" / "paper" / f"{name}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(), file)
    pictures = tmp_path / "results" / "quick" / "paper"
    pictures.mkdir(parents=True)
    (pictures / "table__elpv-mono-s0__a.png").write_bytes(png(640, 320, (255, 0, 0, 255)))
    (pictures / "table__elpv-mono-s0__b.png").write_bytes(png(640, 320, (0, 0, 255, 255)))
    gone = tmp_path / "notebooks" / "thumbnails" / "paper-gone.webp"
    gone.parent.mkdir()
    gone.write_bytes(b"")
    return tmp_path


def test_the_order_is_that_of_the_readme(tree):
    """Catches an order by name, and links to other files that count as notebooks."""
    text = "[b](paper/table_of_more.ipynb) [c](../README.md)\n[a](paper/table.ipynb)\n"
    (tree / "notebooks" / "README.md").write_text(text, encoding="utf-8")
    assert reading_order.read(tree / "notebooks") == ["paper/table_of_more", "paper/table"]


def test_thumbnails_are_of_their_own_notebook(tree):
    """Catches a picture of a notebook whose name begins alike, and thumbnails that stay behind."""
    folder = tree / "notebooks"
    file = folder / "thumbnails" / "paper-table.webp"
    assert reading_order.write(folder, tree / "results") == [file]
    assert list(file.parent.iterdir()) == [file]
    with Image.open(file) as image:
        assert image.size == (320, 160)
        red, _, blue = image.getpixel((160, 80))
    assert red > 200 and blue < 50


def test_a_verdict_shows_its_first_picture(tree):
    """Catches a notebook without files in `results` that stays without a thumbnail."""
    cells = [nbformat.v4.new_code_cell("table"), nbformat.v4.new_code_cell("picture")]
    cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/plain": "7"})]
    picture = base64.b64encode(png(100, 50, (0, 255, 0, 255))).decode()
    cells[1].outputs = [nbformat.v4.new_output("display_data", {"image/png": picture})]
    executed = tree / "verdict.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), executed)
    folder = tree / "notebooks"
    file = reading_order.write(folder, tree / "results", {"paper": executed})[-1]
    assert file.name == "paper-verdict.webp" and file.is_file()
    nbformat.write(nbformat.v4.new_notebook(cells=cells[:1]), executed)
    with pytest.raises(ValueError, match="verdict.ipynb: no output is a PNG"):
        reading_order.write(folder, tree / "results", {"paper": executed})
    assert file.is_file()


def test_a_broken_picture_is_named(tree):
    """Catches a cut file of a killed study that ends in an error without its name."""
    file = tree / "results" / "quick" / "paper" / "table__elpv-mono-s0__a.png"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ValueError, match="table__elpv-mono-s0__a.png: a broken picture"):
        reading_order.write(tree / "notebooks", tree / "results")


@pytest.mark.parametrize(("width", "height"), [(700, 20), (200, 900), (640, 480)])
def test_thumbnails_stay_small(width, height):
    """Catches a picture of much detail, or of an odd shape, that makes the page slow or tall."""
    made = reading_order.small(png(width, height))
    assert len(made) <= reading_order.BYTES
    with Image.open(io.BytesIO(made)) as image:
        assert image.format == "WEBP" and image.width in reading_order.WIDTHS
        assert image.height <= reading_order.SHAPE * image.width


def test_what_is_transparent_becomes_white():
    """Catches figures without a ground, which would be black on some pages."""
    with Image.open(io.BytesIO(reading_order.small(png(320, 160, (0, 0, 0, 0))))) as image:
        assert min(image.convert("RGB").getpixel((10, 10))) > 250
