"""Where a multipart body is cut, and which part breaks off."""

import pytest

from bulklink.core.multipart import boundary_of, split_parts


@pytest.mark.parametrize(
    ("body", "whole", "is_closed", "tail"),
    [
        (b"--B\r\none\r\n--B\r\ntwo\r\n--B--\r\n", [b"one", b"two"], True, b""),
        (b"--B\r\none\r\n--B--", [b"one"], True, b""),
        (b"preamble\r\n--B\r\none\r\n--B--\r\nepilogue\r\n--B\r\nno part\r\n--B--\r\n", [b"one"], True, b""),
        (b"--B\none\n--B  \t\ntwo\n--B--\n", [b"one", b"two"], True, b""),
        (b"--B\r\n--B\r\n\r\n--B--\r\n", [b"", b""], True, b""),
        # a line that only begins, ends or goes on like a delimiter is none
        (b"--B\r\na --B\r\nb\r\n--B2\r\nc\r\n--B--\r\n", [b"a --B\r\nb\r\n--B2\r\nc"], True, b""),
        # what breaks off
        (b"--B\r\none\r\n--B\r\ntw", [b"one"], False, b"tw"),
        (b"--B\r\none\r\n--B", [], False, b"one\r\n--B"),
        (b"--B\r\none\r\n--B-", [], False, b"one\r\n--B-"),
        (b"--B\r\none", [], False, b"one"),
        (b"--B", [], False, b""),
        (b"", [], False, b""),
    ],
)
def test_cuts(body, whole, is_closed, tail):
    assert split_parts(body, b"B") == (whole, is_closed, tail)


def test_without_a_boundary_there_are_no_parts():
    assert split_parts(b"--\r\none\r\n----\r\n", b"") == ([], False, b"")


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=abc", b"abc"),
        ('multipart/mixed; boundary="a b;c"; x=y', b"a b;c"),
        ("MULTIPART/MIXED;BOUNDARY=abc;x=y", b"abc"),
        ("multipart/mixed", b""),
        ("application/json; boundary=abc", None),
        ("", None),
        ("multipart/mixed; boundary=\ud800", b"?"),
    ],
)
def test_boundaries(content_type, boundary):
    assert boundary_of(content_type) == boundary
