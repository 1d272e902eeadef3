"""Ask the service what a book of keys wants to know.

Owns: the choice between asking by key and reading the whole table, and the order of requests.
Does not know: the questions, what answers mean (core.resolving).
Source: the public contract (README, "match").
"""

from collections.abc import Iterable

from bulklink.core.resolving import KeyBook, KeyQuestion, Resolution, batches
from bulklink.service.metadata import Metadata
from bulklink.service.reading import Reader, in_parallel


async def resolve_keys(reader: Reader, metadata: Metadata, book: KeyBook) -> Resolution:
    """Resolve every key of a book. Raises what a refusal means, or StoppedEarly if the service cannot be read."""
    portions: Iterable[list[KeyQuestion]] = batches(book.questions(reader.api_path))
    if book.could_read_whole_table():
        table_records = await metadata.record_count(book.match.table.logical_name)
        if book.is_whole_table_cheaper(table_records):
            portions = [[book.whole_table(reader.api_path)]]

    async def ask(portion: list[KeyQuestion]) -> None:
        requests = [question.request for question in portion]
        await reader.ask_pages(requests, lambda k, body: book.take(portion[k], body))

    await in_parallel(portions, ask)
    return book.resolution()
