"""Checks of office files before a library sees them: decryption, size, and parts that the format does not allow.

Office Open XML, OpenDocument and EPUB are zip archives of XML. Declared sizes are added up before anything is
unpacked. A part that declares a document type (the door of entity expansion) is refused where the format forbids it:
here for parsers that read a file whole (`no_entities`), part by part in `packages.Package`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

from twofold.errors import DamagedFile, EncryptedFile, FileTooLarge, MissingExtra, install
from twofold.files.reading import MIB

MOST_UNPACKED = 512 * MIB
"""Bytes that all parts of a file together may unpack to, by the sizes that the archive declares."""
MOST_PARTS = 50_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""First bytes of a compound file: the old binary formats, and encrypted files of the new ones."""
BROKEN = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)
"""Errors that zipfile and zlib raise on a damaged archive; NotImplementedError: an unknown way of packing."""
NO_DOCTYPE = (".docx", ".docm", ".dotx", ".pptx", ".pptm", ".ppsx", ".xlsx", ".xlsm")
"""Formats none of whose parts may declare a document type."""


def prepared(data: bytes, *, name: str, passwords: Sequence[str] = ()) -> bytes:
    """Decrypt a file where it is encrypted, and check the declared sizes of its parts.

    Args:
        data: The file.
        name: The file's name in errors.
        passwords: Tried one after another.

    Returns:
        The bytes to parse.

    Raises:
        EncryptedFile: none of the passwords opens the file.
        FileTooLarge: the file has more than 50,000 parts, or they unpack to more than 512 MiB.
        DamagedFile: the archive is broken.
    """
    if data.startswith(_OLE):
        data = _decrypted(data, name, passwords)
    if data.startswith(b"PK"):
        _examine(data, name)
    return data


def no_entities(data: bytes, *, name: str, suffix: str) -> None:
    """Refuse a file with a part that declares XML entities, where the format forbids them.

    Raises:
        DamagedFile: a part declares entities, or the archive is broken.
    """
    if suffix not in NO_DOCTYPE or not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for part in archive.infolist():
                if part.filename.lower().endswith((".xml", ".rels")):
                    with archive.open(part) as stream:
                        # a declaration stands before the first element
                        refuse_entities(stream.read(2048), part.filename, name=name)
    except BROKEN as error:
        raise DamagedFile(f"the archive in it is broken: {error}", file=name) from error


def refuse_entities(data: bytes, part: str, *, name: str) -> None:
    """Refuse a part that declares a document type.

    Raises:
        DamagedFile: the part declares one.
    """
    # in UTF-16 every other byte of these letters is 0
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<"))
    if b"<!DOCTYPE" in (data.replace(b"\0", b"") if wide else data):
        raise DamagedFile(f"its part {part!r} declares XML entities", file=name)


def repacked(data: bytes, *, name: str) -> tuple[bytes, list[str]]:
    """Write an archive anew, for parsers stricter than `zipfile`; return it, and the names of unreadable parts.

    Raises:
        DamagedFile: no part can be read.
    """
    out = io.BytesIO()
    member_count = 0
    lost: list[str] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
            for part in old.infolist():
                if part.is_dir():
                    continue
                try:
                    new.writestr(part.filename, old.read(part))
                    member_count += 1
                except BROKEN:
                    lost.append(part.filename)
    except BROKEN as error:
        raise DamagedFile(f"the archive in it is broken: {error}", file=name) from error
    if not member_count:
        raise DamagedFile("the archive in it is empty", file=name)
    return out.getvalue(), lost


def _examine(data: bytes, name: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > MOST_PARTS:
                raise FileTooLarge(f"the file has {len(parts):,} parts; the limit is {MOST_PARTS:,}", file=name)
            size = sum(part.file_size for part in parts)
            if size > MOST_UNPACKED:
                raise FileTooLarge(
                    f"it unpacks to {size / MIB:,.0f} MiB; the limit is {MOST_UNPACKED // MIB} MiB", file=name
                )
            if any(part.flag_bits & 1 for part in parts):
                raise EncryptedFile(
                    "parts of the file are encrypted", file=name, cure="Save the file without a password."
                )
            names = {part.filename for part in parts}
            if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
                raise EncryptedFile("the file is encrypted", file=name, cure="Save the file without a password.")
    except BROKEN as error:
        raise DamagedFile(f"the archive in it is broken: {error}", file=name) from error


def _decrypted(data: bytes, name: str, passwords: Sequence[str]) -> bytes:
    """Decrypt an OLE file if it is encrypted; return any other file unchanged."""
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
        return data  # msoffcrypto cannot tell: the reader of the format names the fault
    for password in passwords:
        out = io.BytesIO()
        try:
            office.load_key(password=password)
            office.decrypt(out)
        except (InvalidKeyError, DecryptionError, ParseError):
            continue
        return out.getvalue()
    hint = " and none of the passwords given opens it" if passwords else ""
    raise EncryptedFile(f"the file is encrypted{hint}", file=name)
