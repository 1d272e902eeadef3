"""The front door: words in, exit code out.

Importing it must stay quick: pandas, aiohttp, pydantic and rich are imported by the commands, when they run.
"""

from bulklink.cli.entry import main

__all__ = ["main"]
