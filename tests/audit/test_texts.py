"""AuditTexts beside the log: named by a salted digest, erased without a trace, while the chain verifies."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
from audit_logs import entry, kinds

from twofold.audit.log import AuditLog
from twofold.audit.texts import FILE, AuditTexts, sealed
from twofold.audit.verifying import verify
from twofold.errors import TwofoldError

SECRET = "Parking costs four euros a day."


def logged(folder: Path) -> str:
    """A log of two answers with texts, of which the first was shown `parking`; the digest of that."""
    digests = []
    appending = AuditLog(folder)
    appending.append([entry(0)])
    with AuditTexts(folder) as texts:
        for document, answer in (("parking", SECRET), ("canteen", "Noon.")):
            salt, text, digest = sealed({"question": [{"role": "user", "content": "What?"}], "answer": answer})
            texts.add([(digest, salt, text, [document])])
            appending.append([entry(1, texts=digest)])
            digests.append(digest)
    return digests[0]


def test_an_erased_text_is_gone_from_the_file_and_the_chain_verifies(tmp_path: Path) -> None:
    digest = logged(tmp_path)
    report = verify(tmp_path)
    assert (report["ok"], report["texts"], report["erased"]) == (True, 2, 0)
    assert SECRET.encode() in (tmp_path / FILE).read_bytes()
    with AuditTexts(tmp_path) as texts:
        assert SECRET in texts.text(digest)
        assert texts.erase("parking") == 1
        assert texts.text(digest) == ""
        assert texts.erase("parking") == 0
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    report = verify(tmp_path)
    assert (report["ok"], report["texts"], report["erased"]) == (True, 1, 1)


def test_the_digest_of_a_text_cannot_be_guessed_without_its_salt(tmp_path: Path) -> None:
    digest = logged(tmp_path)
    with AuditTexts(tmp_path) as texts:
        text = texts.text(digest)
    assert hashlib.sha256(text.encode()).hexdigest() != digest
    assert sealed({"a": 1})[2] != sealed({"a": 1})[2]


def test_a_text_that_quotes_the_document_is_erased_though_nothing_of_it_was_shown(tmp_path: Path) -> None:
    logged(tmp_path)
    with AuditTexts(tmp_path) as texts:
        assert texts.erase("lone \ud800", lambda text: text == "Noon.") == 1
    report = verify(tmp_path)
    assert (report["ok"], report["texts"], report["erased"]) == (True, 1, 1)


def test_damaged_texts_are_named_with_a_cure(tmp_path: Path) -> None:
    logged(tmp_path)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(TwofoldError) as caught:
        verify(tmp_path)
    assert caught.value.file == str(tmp_path / FILE)
    assert caught.value.cure


def test_a_text_that_was_changed_is_found(tmp_path: Path) -> None:
    digest = logged(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE texts SET text = replace(text, 'four', 'five') WHERE digest = ?", (digest,))
    connection.close()
    assert kinds(verify(tmp_path)) == ["text"]
