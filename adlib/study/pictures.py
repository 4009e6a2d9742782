"""Pictures of the study: what a saved or shown one says of itself."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def caption(figure: Figure, text: str) -> None:
    """Let the notebook's output that shows `figure` carry `text`, as `alt` of its metadata.

    IPython asks an object for `_repr_mimebundle_` (data, metadata) first, and draws the figure all
    the same where that brings no data.
    """
    figure._repr_mimebundle_ = lambda **_: ({}, {"image/png": {"alt": text}})


def png(figure: Figure, caption: str) -> bytes:
    """A figure as PNG, the caption in its text chunk "Description"."""
    content = io.BytesIO()
    more = {"bbox_inches": "tight", "metadata": {"Description": caption}}
    figure.savefig(content, format="png", dpi=110, **more)
    return content.getvalue()


def look(path: Path) -> tuple[str, bool]:
    """Caption (PNG text chunk "Description") of a picture, and whether it is wide.

    Raises:
        ValueError: a file that is cut off or no picture; it is named.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # all chunks to the end, which decoding alone may not reach
        with Image.open(path) as image:
            return image.text.get("Description", ""), image.width > 2 * image.height
    except (OSError, SyntaxError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: a broken picture ({error}).") from error
