"""Pictures of the site: each once, as lossless WebP under the hash of what it was made of."""

import hashlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from adlib.host.files import atomic


@dataclass(frozen=True)
class Picture:
    """A picture of the site: path in it, size in pixels, and what it shows, in words."""

    path: str
    width: int
    height: int
    alt: str

    @property
    def wide(self) -> bool:
        """Whether it takes a line of its own."""
        return self.width > 2 * self.height


@dataclass(frozen=True)
class Pictures:
    """Takes pictures into the site `site`; what the earlier one has is not encoded again."""

    site: Path
    earlier: Path

    def add(self, content: bytes, alt: str) -> Picture:
        """Take one in, given as the content of a file.

        Raises:
            ValueError: the content is no picture.
        """
        path = f"files/{hashlib.sha256(content).hexdigest()[:16]}.webp"
        try:
            with Image.open(io.BytesIO(content)) as image:
                if not (self.site / path).is_file() and not self.keep(path):
                    with atomic(self.site / path) as temporary:
                        # Text and lines stay sharp, at two fifths of the PNG's size.
                        image.convert("RGB").save(temporary, lossless=True, quality=50, method=2)
                return Picture(path, image.width, image.height, alt)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"a broken picture ({error})") from error

    def keep(self, path: str) -> bool:
        """Take a picture of the earlier site over; whether that has it."""
        if here := (self.earlier / path).is_file():
            (self.site / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.earlier / path, self.site / path)
        return here
