"""``$filter`` as SQL.

Owns: the grammar that the service takes, the types of operands, and the translation with parameters.
Does not know: where the rows go.
Source: OData 4.0 Part 2, 5.1.1; Microsoft Learn, "Filter rows", "Web API query functions".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bulklink.sandbox.errors import ODataError, bad_syntax, no_property, not_supported
from bulklink.sandbox.filter_values import TRUTH, listed_value, literal_value, unquoted
from bulklink.sandbox.model import TEXTS, Column, LookupNavigation, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.storage import comparable, edm_type, quoted

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][\w.]*(?:/[A-Za-z_]\w*)*)"
    r"|(?P<mark>[()\[\],=:]))"
)
_COMPARISONS = {"eq": "IS", "ne": "IS NOT", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_KIND_WORDS = {
    "eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual", "lt": "LessThan",
    "le": "LessThanOrEqual",
}  # fmt: skip
_LITERALS = frozenset({"text", "guid", "moment", "number"})
_LITERAL_TYPES = {"text": "Edm.String", "guid": "Edm.Guid", "moment": "Edm.DateTimeOffset", "number": "Edm.Int32"}
_DEPTH_MAX = 100
_GROUP = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL with its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


def compile_filter(organisation: Organisation, table: Table, text: str, alias: str) -> Condition:
    """The condition that a filter text states about rows of `table` under `alias`; ODataError if it cannot be read."""
    return _Parser(organisation, table, alias, _tokens(text)).whole()


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise bad_syntax(f"Syntax error at position {position} in '{text}'.")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


@dataclass(slots=True)
class _Parser:
    organisation: Organisation
    table: Table
    alias: str
    tokens: list[tuple[str, str]]
    at: int = 0
    depth: int = field(default=0)

    def whole(self) -> Condition:
        condition = self.either()
        if self.at != len(self.tokens):
            raise self.error()
        return condition

    def error(self) -> ODataError:
        read = " ".join(text for _, text in self.tokens)
        return bad_syntax(f"Syntax error at position {self.at} in '{read}'.")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def deeper(self) -> None:
        """Note one more level; ODataError if there are too many."""
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise bad_syntax("The filter is nested too deeply.")

    def take(self, *texts: str) -> str:
        """The next token, which must be one of `texts` if any are given."""
        _, text = self.peek()
        if self.at >= len(self.tokens) or (texts and text not in texts):
            raise self.error()
        self.at += 1
        return text

    # ------------------------------------------------------------------ logic

    def either(self) -> Condition:
        return self.joined("or", self.both)

    def both(self) -> Condition:
        return self.joined("and", self.negated)

    def joined(self, word: str, operand: Callable[[], Condition]) -> Condition:
        self.deeper()
        parts = [operand()]
        while self.peek() == ("name", word):
            self.take(word)
            parts.append(operand())
        self.depth -= 1
        if len(parts) == 1:
            return parts[0]
        sql = _joined([part.sql for part in parts], f" {word.upper()} ")
        return Condition(sql, tuple(p for part in parts for p in part.parameters))

    def negated(self) -> Condition:
        if self.peek() == ("name", "not"):
            self.take("not")
            self.deeper()
            inner = self.negated()
            self.depth -= 1
            return Condition(f"NOT coalesce({inner.sql}, 0)", inner.parameters)
        return self.primary()

    def primary(self) -> Condition:
        kind, text = self.peek()
        if (kind, text) == ("mark", "("):
            self.take("(")
            inner = self.either()
            self.take(")")
            return Condition(f"({inner.sql})", inner.parameters)
        if kind != "name" or text in TRUTH:
            raise self.error()
        self.take()
        if self.peek() == ("mark", "("):
            return self.function(text)
        return self.comparison(text)

    # ------------------------------------------------------------------ functions

    def function(self, name: str) -> Condition:
        self.take("(")
        if name in ("startswith", "endswith", "contains"):
            return self.text_function(name)
        short = name.removeprefix("Microsoft.Dynamics.CRM.")
        if short != name and short in ("In", "NotIn"):
            return self.in_function(short)
        raise not_supported(f"the filter function '{name}'")

    def text_function(self, name: str) -> Condition:
        path = self.take()
        self.take(",")
        kind, literal = self.peek()
        self.take()
        self.take(")")
        column, sql = self.operand(path)
        if kind != "text" or column.kind not in TEXTS:
            raise bad_syntax(
                f"No function signature for the function with name '{name}' matches the specified arguments."
            )
        wanted = unquoted(literal).casefold()
        if not wanted:
            return Condition(f"{sql} IS NOT NULL")
        if name == "contains":
            return Condition(f"instr({sql}, ?) > 0", (wanted,))
        if name == "startswith":
            return Condition(f"substr({sql}, 1, ?) = ?", (len(wanted), wanted))
        return Condition(f"substr({sql}, -?) = ?", (len(wanted), wanted))

    def in_function(self, name: str) -> Condition:
        self.take("PropertyName")
        self.take("=")
        path = unquoted(self.take())
        self.take(",")
        self.take("PropertyValues")
        self.take("=")
        self.take("[")
        values = self.literals("]")
        self.take(")")
        known = self.table.columns.get(path)
        column, sql = (known, comparable(known, self.alias)) if known else self.operand(path)
        self._hint(path, column)
        # The values of this function are texts whatever the column is.
        wanted = tuple(listed_value(column, text, unquoted(text) if kind == "text" else text) for kind, text in values)
        return _membership(sql, wanted, negated=name == "NotIn")

    # ------------------------------------------------------------------ comparisons

    def comparison(self, path: str) -> Condition:
        kind, word = self.peek()
        column, sql = self.operand(path)
        if (kind, word) == ("name", "in"):
            self.take("in")
            self.take("(")
            wanted = tuple(self.literal(column, "eq", *item) for item in self.literals(")"))
            self._hint(path, column)
            return _membership(sql, wanted, negated=False)
        if word not in _COMPARISONS:
            raise self.error()
        self.take()
        value_kind, text = self.peek()
        self.take()
        value = self.literal(column, word, value_kind, text)
        if word == "eq" and value is not None:
            self._hint(path, column)
            return Condition(f"{sql} = ?", (value,))
        return Condition(f"{sql} {_COMPARISONS[word]} ?", (value,))

    def _hint(self, path: str, column: Column) -> None:
        if "/" not in path and not self.table.is_intersect and column.name != self.table.primary_id:
            self.organisation.index(self.table, column)

    def literals(self, closing: str) -> list[tuple[str, str]]:
        found = []
        while True:
            found.append(self.peek())
            if self.peek()[0] not in _LITERALS:
                raise self.error()
            self.take()
            if self.take(",", closing) == closing:
                return found

    def literal(self, column: Column, word: str, kind: str, text: str) -> Any:
        if (kind, text) == ("name", "null"):
            return None
        value = literal_value(column, kind, text)
        if value is None:
            found = _LITERAL_TYPES.get(kind, "Edm.Boolean" if text in TRUTH else "")
            if not found:
                raise not_supported(f"'{text}' as the right side of a comparison")
            raise bad_syntax(
                "A binary operator with incompatible types was detected. Found operand types "
                f"'{edm_type(column)}' and '{found}' for operator kind '{_KIND_WORDS[word]}'."
            )
        return value

    def operand(self, path: str) -> tuple[Column, str]:
        """The column that a path names, and how SQL reads it."""
        model = self.organisation.model
        first, _, rest = path.partition("/")
        navigation = model.navigations[self.table.name].get(first)
        column = model.properties[self.table.name].get(path)
        if column is not None:
            return column, comparable(column, self.alias)
        if not isinstance(navigation, LookupNavigation):
            if rest or navigation is not None:
                raise not_supported(f"the path '{path}' in a filter")
            raise no_property(path, self.table.name)
        if not rest:
            raise bad_syntax(
                "A binary operator with incompatible types was detected. Found operand types "
                f"'Microsoft.Dynamics.CRM.{navigation.targets[0]}' and 'Edm.Guid' for operator kind 'Equal'."
            )
        if len(navigation.targets) != 1:
            raise not_supported(f"the path '{path}', which leads to several tables")
        target = model.tables[navigation.targets[0]]
        column = model.properties[target.name].get(rest)
        if column is None:
            raise no_property(rest, target.name)
        return column, (
            f"(SELECT {comparable(column, 'related')} FROM {quoted(target.name)} related "
            f"WHERE related.{quoted(target.primary_id)} = {self.alias}.{quoted(navigation.column)})"
        )


def _joined(parts: list[str], word: str) -> str:
    """Parts in parentheses, nested in groups: SQLite limits how deep a long chain may go."""
    while len(parts) > _GROUP:
        parts = [_joined(parts[at : at + _GROUP], word) for at in range(0, len(parts), _GROUP)]
    return f"({word.join(parts)})"


def _membership(sql: str, values: tuple[Any, ...], *, negated: bool) -> Condition:
    word = "NOT IN" if negated else "IN"
    return Condition(f"{sql} {word} ({', '.join('?' * len(values))})", values)
