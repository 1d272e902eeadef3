"""The literals of a ``$filter`` as they are compared.

Owns: which literal fits which column, and its value in storage.
Does not know: the grammar around them.
Source: OData 4.0 Part 2, 5.1.1; Microsoft Learn, "Filter rows".
"""

from typing import Any

from bulklink.sandbox.errors import bad_syntax
from bulklink.sandbox.model import LOOKUPS, NUMBERS, TEXTS, WHOLE_NUMBERS, Column, Kind
from bulklink.sandbox.storage import folded, to_storage

TRUTH = {"true": True, "false": False}


def unquoted(literal: str) -> str:
    """The text of a text literal; anything else as it stands."""
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def literal_value(column: Column, kind: str, text: str) -> Any:
    """A literal as it is compared with the column; None if the types do not fit."""
    if column.kind in TEXTS:
        return folded(unquoted(text)) if kind == "text" else None
    if column.kind is Kind.BOOLEAN:
        return int(TRUTH[text]) if text in TRUTH else None
    if column.kind in WHOLE_NUMBERS | NUMBERS:
        return float(text) if kind == "number" else None
    if column.kind is Kind.DATETIME:
        return to_storage(column, text) if kind == "moment" else None
    if column.kind is Kind.UNIQUEIDENTIFIER or column.kind in LOOKUPS:
        return text.lower() if kind == "guid" else None
    return None


def listed_value(column: Column, literal: str, text: str) -> Any:
    """A text of the function In as it is compared; ODataError if it does not fit. literal: as it was written."""
    if column.kind in TEXTS:
        return folded(text)
    if column.kind is Kind.BOOLEAN and text.lower() in TRUTH:
        return int(TRUTH[text.lower()])
    if column.kind in WHOLE_NUMBERS | NUMBERS:
        try:
            return float(text)
        except ValueError:
            raise bad_syntax(f"The value {literal} does not fit the column '{column.name}'.") from None
    try:
        return to_storage(column, text)
    except ValueError as error:
        raise bad_syntax(str(error)) from error
