"""Styles cut out of their part are those that the whole part holds; a part that cannot be cut is read whole."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from twofold.corpus.readers.office.packages import Node, attribute, inside
from twofold.corpus.readers.office.word_styles import StyleNodes

W = 'xmlns:w="urn:w"'
ONE = '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:basedOn w:val="é"/></w:style>'
TWO = '<w:style w:styleId="é"><w:name w:val="a &amp; b"/><w:rPr><w:strike/></w:rPr></w:style>'
LATENT = '<w:latentStyles><w:lsdException w:name="style"/></w:latentStyles>'


def part(inner: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    return f"{head}<w:styles {W}>{inner}</w:styles>".encode()


def held(data: bytes) -> tuple[dict[str, str], bool]:
    """Styles as text, and whether the part was read whole."""
    asked: list[bool] = []

    def whole() -> Node | None:
        asked.append(True)
        try:
            return ElementTree.fromstring(data)
        except ElementTree.ParseError:
            return None

    nodes = StyleNodes(data, whole)
    return {name: ElementTree.tostring(nodes[name], "unicode") for name in nodes}, bool(asked)


@pytest.mark.parametrize(
    ("data", "read_whole"),
    [
        (part(LATENT + ONE + TWO), False),
        (part(ONE + TWO, ""), False),
        (part(ONE + ONE.replace("heading 1", "heading 2")), False),
        (part(""), False),
        (part((ONE + TWO).replace("w:", "")).replace(b"<w:", b"<").replace(b"</w:", b"</"), False),
        (part("<!-- <w:style w:styleId='x'> -->" + ONE), True),
        (part(ONE + '<w:style w:styleId="empty"/>' + TWO), True),
        (part(ONE.replace('"H1"', "'H1'")), True),
        (part(ONE.replace("H1", "A&amp;B")), True),
        (part(f"<w:style w:styleId='out'>{ONE}</w:style>"), True),
        (
            part(ONE + TWO, '<?xml version="1.0" encoding="UTF-8"?>')
            .decode()
            .replace("UTF-8", "UTF-16")
            .encode("utf-16"),
            True,
        ),
    ],
)
def test_cut_styles_are_those_of_the_whole(data: bytes, read_whole: bool) -> None:
    styles, whole = held(data)
    assert whole is read_whole
    root = ElementTree.fromstring(data)
    assert styles == {attribute(one, "styleId"): ElementTree.tostring(one, "unicode") for one in inside(root, "style")}


@pytest.mark.parametrize(
    "data", [part(ONE)[:-20], part(ONE + "<w:style>"), b"no xml", part(ONE.replace("</w:style>", ""))]
)
def test_a_damaged_part_is_left_to_who_reads_it_whole(data: bytes) -> None:
    assert held(data) == ({}, True)


def test_no_part_has_no_styles() -> None:
    assert not StyleNodes(None, lambda: None)
