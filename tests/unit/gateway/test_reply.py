"""What goes out: which coding a client gets, and who gets the page (data-api.md §3.1)."""

import pytest

from services.gateway.reply import LONGEST_READ, preferred_coding, prefers_html


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("gzip, deflate", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("deflate, gzip;q=1.0, *;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.1", "gzip"),
        ("gzip ; Q=0.5", "gzip"),
        ("identity", ""),
        ("br", ""),
        ("br, *;q=0", ""),
        ("*;q=0", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0, *", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=x", ""),
        ("gzip;q=7", ""),
        ("gzip;q=nan", ""),
        ("identity;q=0.5, *;q=0", ""),
        ("identity;q=0, gzip", "gzip!"),
        ("gzip, *;q=0", "gzip!"),
    ],
)
def test_the_coding_of_an_answer(accepted: str, coding: str) -> None:
    """RFC 9110 §12.5.3."""
    assert preferred_coding(accepted) == coding


@pytest.mark.parametrize(
    ("accepted", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html, application/json", True),
        ("text/*", True),
        ("text/html, */*", True),
        ("application/json;q=0.9, text/html", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.9, */*", False),
        ("text/html;q=0", False),
        ("text/html;q=0, */*", False),
        ("text/plain", False),
    ],
)
def test_who_gets_the_page(accepted: str, html: bool) -> None:
    """A browser that opens the URL; not a program, whatever it takes."""
    assert prefers_html(accepted) is html


def test_preferences_of_absurd_length_are_not_read() -> None:
    """They would be remembered: a few hundred of them fill the memory."""
    assert preferred_coding("gzip" + " " * LONGEST_READ) == ""
    assert not prefers_html("text/html" + " " * LONGEST_READ)
