"""Query options and preferences of a read.

Owns: which options there are, which the sandbox lacks, page size, and the paging cookie.
Does not know: what is read.
Source: Microsoft Learn, "Query data using the Web API", "Page results".
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote

from bulklink.sandbox.errors import bad_syntax, not_supported
from bulklink.sandbox.messages import Request

PAGE_MAX = 5_000

_COOKIE = re.compile(r'<cookie pagenumber="(\d+)" pagingcookie="(\d+)" istracking="False" />')
_KNOWN = frozenset({"$select", "$filter", "$top", "$orderby", "$count", "$expand", "$skiptoken", "$id"})
_UNSUPPORTED = frozenset({"$apply", "$search", "$compute", "fetchXml", "savedQuery", "userQuery", "$deltatoken"})
_SAFE = "$(),/:="


@dataclass(slots=True)
class Options:
    """`given`: option -> value, decoded. `annotations`: the terms asked for. `page_size`: None if not asked for."""

    given: dict[str, str] = field(default_factory=dict)
    annotations: frozenset[str] = frozenset()
    page_size: int | None = None

    @property
    def select(self) -> str:
        """``$select``, or nothing."""
        return self.given.get("$select", "")

    @property
    def applied(self) -> str:
        """What ``Preference-Applied`` says."""
        parts = [f"odata.maxpagesize={self.page_size}"] if self.page_size else []
        if self.annotations:
            parts.append(f'odata.include-annotations="{",".join(sorted(self.annotations))}"')
        return ", ".join(parts)

    @property
    def order(self) -> str:
        """``$orderby``, or nothing."""
        return self.given.get("$orderby", "").strip()

    @property
    def cookie(self) -> tuple[int, int]:
        """The page's number and where the one before it ended; ODataError if the token is not one of ours."""
        token = self.given.get("$skiptoken")
        if token is None:
            return 1, 0
        match = _COOKIE.fullmatch(token)
        if match is None:
            raise bad_syntax("Malformed XML in the Paging Cookie")
        return int(match[1]), int(match[2])

    def top(self) -> int | None:
        """``$top``; ODataError if it is no number."""
        text = self.given.get("$top")
        if text is None:
            return None
        if not text.isdecimal():
            raise bad_syntax(f"Invalid value '{text}' for $top query option found.")
        return int(text)

    def query_for(self, page_number: int, place: int) -> str:
        """The query string of another page."""
        token = f'<cookie pagenumber="{page_number}" pagingcookie="{place}" istracking="False" />'
        kept = [f"{name}={quote(value, safe=_SAFE)}" for name, value in self.given.items() if name != "$skiptoken"]
        return "&".join([*kept, f"$skiptoken={quote(token)}"])


def read_options(request: Request) -> Options:
    """The options of a request; ODataError for what is not known, 501 for what the sandbox lacks."""
    given = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        if name in _UNSUPPORTED or name.startswith("@"):
            raise not_supported(f"the query option '{name}'")
        if name == "$skip":
            raise bad_syntax("Skip Clause is not supported in CRM")
        if name.startswith("$") and name not in _KNOWN:
            raise bad_syntax(f"The query parameter {name} is not supported.")
        given[name] = value
    annotations = request.preference("odata.include-annotations") or ""
    size = request.preference("odata.maxpagesize") or ""
    page_size = int(size) if size.isdecimal() and 0 < int(size) <= PAGE_MAX else None
    return Options(given, frozenset(a.strip() for a in annotations.split(",") if a.strip()), page_size)
