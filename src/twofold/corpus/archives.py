"""Office files before a library sees them: decrypted, measured, and free of what has no place in them.

Office Open XML, OpenDocument and EPUB are zip archives of XML. Declared sizes are added up before anything is
unpacked; a part that declares a document type (the door of entity expansion) is refused where the format knows none.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

from twofold.errors import DamagedFile, EncryptedFile, FileTooLarge, MissingExtra, install
from twofold.reading import MIB

MOST_UNPACKED = 512 * MIB
MOST_PARTS = 50_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)
"""What zipfile and zlib raise on a damaged archive; NotImplementedError for a way of packing that they do not know."""
_NO_DOCTYPE = (".docx", ".docm", ".dotx", ".pptx", ".pptm", ".ppsx", ".xlsx", ".xlsm")


def prepared(data: bytes, *, name: str, suffix: str, passwords: Sequence[str] = ()) -> bytes:
    """The bytes to parse: decrypted if they were encrypted.

    Args:
        data: The file.
        name: How it is called in errors.
        suffix: Its ending.
        passwords: Tried one after another.

    Raises:
        EncryptedFile: it needs a password that is not among those given.
        FileTooLarge: its parts unpack to more than 512 MiB, or are more than 50,000.
        DamagedFile: the archive is broken, or a part declares XML entities.
    """
    if data.startswith(_OLE):
        data = _decrypted(data, name, passwords)
    if data.startswith(b"PK"):
        _examine(data, name, suffix)
    return data


def repacked(data: bytes, *, name: str) -> tuple[bytes, list[str]]:
    """The same archive written anew, for parsers stricter than `zipfile`, and the parts that had to be left out.

    Raises:
        DamagedFile: no part can be read.
    """
    out = io.BytesIO()
    kept = 0
    lost: list[str] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
            for part in old.infolist():
                if part.is_dir():
                    continue
                try:
                    new.writestr(part.filename, old.read(part))
                    kept += 1
                except BROKEN:
                    lost.append(part.filename)
    except BROKEN as error:
        raise DamagedFile(f"the archive in it is broken: {error}", file=name) from error
    if not kept:
        raise DamagedFile("the archive in it is empty", file=name)
    return out.getvalue(), lost


def _examine(data: bytes, name: str, suffix: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > MOST_PARTS:
                raise FileTooLarge(f"it has {len(parts):,} parts; the limit is {MOST_PARTS:,}", file=name)
            size = sum(part.file_size for part in parts)
            if size > MOST_UNPACKED:
                raise FileTooLarge(
                    f"it unpacks to {size / MIB:,.0f} MiB; the limit is {MOST_UNPACKED // MIB} MiB", file=name
                )
            if any(part.flag_bits & 1 for part in parts):
                raise EncryptedFile("parts of it are encrypted", file=name, cure="Save it without a password.")
            names = {part.filename for part in parts}
            if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
                raise EncryptedFile("it is encrypted", file=name, cure="Save it without a password.")
            if suffix in _NO_DOCTYPE:
                for part in parts:
                    if part.filename.lower().endswith((".xml", ".rels")):
                        with archive.open(part) as stream:
                            if b"<!DOCTYPE" in stream.read(2048):
                                raise DamagedFile(f"its part {part.filename!r} declares XML entities", file=name)
    except BROKEN as error:
        raise DamagedFile(f"the archive in it is broken: {error}", file=name) from error


def _decrypted(data: bytes, name: str, passwords: Sequence[str]) -> bytes:
    """An OLE file as it is, or decrypted if it is encrypted."""
    try:
        import msoffcrypto
        from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"office files need the package {error.name!r}, which is not installed",
            cure=install("documents"),
        ) from error
    try:
        office = msoffcrypto.OfficeFile(io.BytesIO(data))
        if not office.is_encrypted():
            return data
    except (FileFormatError, ParseError, OSError, ValueError, AttributeError, IndexError, TypeError, KeyError):
        return data
    for password in passwords:
        out = io.BytesIO()
        try:
            office.load_key(password=password)
            office.decrypt(out)
        except (InvalidKeyError, DecryptionError, ParseError):
            continue
        return out.getvalue()
    given = " and none of the passwords given opens it" if passwords else ""
    raise EncryptedFile(f"it is encrypted{given}", file=name)
