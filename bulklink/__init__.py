"""bulklink: spreadsheet rows become links between Dataverse records, with one true outcome per row.

Everything that the commands do is here by the same names. Nothing is imported before it is used.
"""

from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bulklink.api import arun, load, relationships, report, run
    from bulklink.errors import BulklinkError, ExitCode
    from bulklink.listener import Listener
    from bulklink.summary import Summary

__all__ = [
    "BulklinkError",
    "ExitCode",
    "Listener",
    "Summary",
    "arun",
    "load",
    "relationships",
    "report",
    "run",
]

_HOMES: Final = {
    "BulklinkError": "errors",
    "ExitCode": "errors",
    "Listener": "listener",
    "Summary": "summary",
    "arun": "api",
    "load": "api",
    "relationships": "api",
    "report": "api",
    "run": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
