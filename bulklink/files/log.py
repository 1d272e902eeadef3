"""log.jsonl: one JSON object per event, without secrets.

Owns: the form of a line, and that no secret gets into one.
Does not know: what the events mean.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus

from bulklink.files.writing import open_private, words_for_disk_trouble

BLANK: Final = "***"


class Redactor:
    """Blanks secrets in texts, also where they are percent-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """From now on this is blanked too."""
        if secret:
            spellings = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), *self._spellings}
            self._spellings = sorted(spellings, key=len, reverse=True)  # a secret may be part of a longer one

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, BLANK)
        return text

    def value(self, value: Any) -> Any:
        """The same for a value made of dicts, lists and scalars."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self(str(key)): self.value(one) for key, one in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(one) for one in value]
        return value if value is None or isinstance(value, (bool, int, float)) else self(str(value))


class EventLog:
    """Appends to a log file; a line is on its way to the disk when `write` returns."""

    def __init__(self, path: Path, redact: Redactor | None = None, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.redact = redact or Redactor()
        self._clock = clock
        with words_for_disk_trouble(path):
            self._file = open(path, "ab", buffering=0, opener=open_private)  # noqa: SIM115 (open as long as this)

    def write(self, event: str, **facts: Any) -> None:
        """One line: the moment, the event, and its facts. Raises RunDirectoryError if the disk does not allow it."""
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "event": event} | self.redact.value(facts)
        with words_for_disk_trouble(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
