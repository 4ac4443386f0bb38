"""Character recognition, through the optional extra ``ocr``: rapidocr (PP-OCR models in its wheel) on OpenVINO."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from twofold.corpus.plain_text import clean
from twofold.errors import DamagedFile, MissingExtra, install
from twofold.plugins import protocols
from twofold.types import Document

_MOST_PIXELS = 60_000_000
"""More are refused before they are unpacked: as RGB they would take 180 MB."""


class PictureReader:
    """A picture of text; read only where ``[documents].ocr`` is enabled. The title is the file's stem."""

    version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
    pictures: ClassVar[bool] = True
    """Left out unless character recognition is on."""

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: PictureReader.Options) -> None:
        self.options = options

    def read(self, path: Path, data: bytes) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            DamagedFile: the file cannot be opened as a picture, or the picture has more than 60 million pixels.
            MissingExtra: the extra ``ocr`` is not installed.
        """
        import numpy as np

        name = path.as_posix()
        try:
            from PIL import Image
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        try:
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise DamagedFile(f"the picture has {picture.width} x {picture.height} pixels", file=name)
                pixels = np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DamagedFile(f"it cannot be opened as a picture: {error}", file=name) from error
        yield Document(id=name, text=recognised(pixels), title=path.stem, source=name)


def recognised(pixels: Any) -> str:
    """The text in a picture, line by line from the top; empty when there is none.

    Args:
        pixels: uint8 array of shape (height, width) or (height, width, 3).

    Raises:
        MissingExtra: the extra ``ocr`` is not installed.
    """
    return clean("\n".join(_recogniser()(pixels).txts or ()))


@cache
def _recogniser() -> Any:
    try:
        from rapidocr import EngineType, RapidOCR
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    engine = {f"{stage}.engine_type": EngineType.OPENVINO for stage in ("Det", "Cls", "Rec")}
    return RapidOCR(params={**engine, "Global.log_level": "critical"})


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(
        f"character recognition needs the package {error.name!r}, which is not installed",
        cure=install("documents,ocr"),
    )
