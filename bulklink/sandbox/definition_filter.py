"""``$filter`` on metadata: conditions on JSON objects.

Owns: the few operators that the service takes for table definitions.
Does not know: what the objects mean.
Source: Microsoft Learn, "Query table definitions using the Web API".
"""

import re
from collections.abc import Callable
from typing import Any

from bulklink.sandbox.errors import bad_syntax, no_property, not_supported

Predicate = Callable[[dict[str, Any]], bool]

_TOKEN = re.compile(r"\s*([A-Za-z_][\w.]*'(?:[^']|'')*'|'(?:[^']|'')*'|[\w.\-/]+|[(),])")
_WORDS = {"true": True, "false": False, "null": None}


def compile_filter(text: str, known: frozenset[str], type_name: str) -> Predicate:
    """What a filter text says about an object with the members `known`; ODataError if it cannot be read."""
    tokens, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise bad_syntax(f"Syntax error at position {position} in '{text}'.")
        tokens.append(match[1])
        position = match.end()
    parser = _Parser(tokens, known, type_name)
    predicate = parser.either()
    if parser.tokens:
        raise bad_syntax(f"Syntax error at '{parser.tokens[0]}' in '{text}'.")
    return predicate


class _Parser:
    def __init__(self, tokens: list[str], known: frozenset[str], type_name: str) -> None:
        self.tokens, self._known, self._type_name = tokens, known, type_name

    def _take(self) -> str:
        if not self.tokens:
            raise bad_syntax("The filter ends too early.")
        return self.tokens.pop(0)

    def either(self) -> Predicate:
        parts = [self._both()]
        while self.tokens[:1] == ["or"]:
            self._take()
            parts.append(self._both())
        return lambda item: any(part(item) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._one()]
        while self.tokens[:1] == ["and"]:
            self._take()
            parts.append(self._one())
        return lambda item: all(part(item) for part in parts)

    def _one(self) -> Predicate:
        word = self._take()
        if word == "not":
            inner = self._one()
            return lambda item: not inner(item)
        if word == "(":
            inner = self.either()
            if self._take() != ")":
                raise bad_syntax("A parenthesis is not closed.")
            return inner
        return self._comparison(word)

    def _comparison(self, name: str) -> Predicate:
        path = name.split("/")
        if path[0] not in self._known:
            if self.tokens[:1] == ["("]:
                raise not_supported(f"the function '{name}' in a filter on metadata")
            raise no_property(name, self._type_name)
        operator, value = self._take(), _literal(self._take())
        if operator not in ("eq", "ne"):
            raise not_supported(f"the operator '{operator}' in a filter on metadata")
        return lambda item: (_value(item, path) == value) == (operator == "eq")


def _value(item: Any, path: list[str]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _literal(token: str) -> Any:
    # An enumeration value is written with its type: Microsoft.Dynamics.CRM.RelationshipType'ManyToManyRelationship'.
    if token.endswith("'"):
        return token[token.index("'") + 1 : -1].replace("''", "'")
    if token in _WORDS:
        return _WORDS[token]
    try:
        return int(token)
    except ValueError:
        return token
