"""The sentences with which a whole batch is refused.

Owns: one template for each mistake of grammar.
Does not know: how a batch is read.
Source: protocol 2.8 and 2.9; where those quote only a beginning, the message resources of the OData .NET library.
"""

from typing import Final


class BatchError(Exception):
    """The batch as such cannot be read: nothing of what was not yet read is executed."""

    def __init__(self, template: str, *values: object) -> None:
        super().__init__(template.format(*values))


#: The outer Content-Type.
NO_CONTENT_TYPE: Final = 'The batch request must have a "Content-Type" header.'
NOT_MULTIPART: Final = "The batch request must have 'multipart/mixed' as the media type."
NO_BOUNDARY: Final = 'The batch request must have a boundary specification in the "Content-Type" header.'

#: The headers of a part.
NO_PART_CONTENT_TYPE: Final = (
    "The 'Content-Type' header is missing. "
    "The 'Content-Type' header must be specified for each MIME part of a batch message."
)
WRONG_PART_CONTENT_TYPE: Final = (
    "The 'Content-Type' header value '{}' is invalid. When this is the start of the change set, the value must be "
    "'multipart/mixed'; otherwise it must be 'application/http'."
)
NOT_BINARY: Final = (
    "A missing or invalid 'Content-Transfer-Encoding' header was found. The 'Content-Transfer-Encoding' header must "
    "be specified for each batch operation, and its value must be 'binary'."
)
NO_CHANGE_SET_BOUNDARY: Final = (
    "The content type '{}' specifies a batch payload; however, the payload either does not include a batch boundary "
    "or includes more than one boundary. In OData, batch payload content types must specify exactly one batch "
    "boundary in the 'boundary' parameter of the content type."
)
NESTED_CHANGE_SET: Final = "Nested change sets in a batch payload are not supported."
INVALID_HEADER: Final = (
    "The message header '{}' is invalid. The header value must be of the format '<header name>: <header value>'."
)
DUPLICATE_HEADER: Final = (
    "The header '{}' was specified multiple times. Each header must appear only once in a batch part."
)

#: The operation.
INVALID_REQUEST_LINE: Final = (
    "The request line '{}' is invalid. The request line at the start of each operation must be of the format "
    "'HttpMethod RequestUrl HttpVersion'."
)
HTTP_VERSION: Final = (
    "The HTTP version '{}' used in a batch operation request or response is not valid. The value must be 'HTTP/1.1'."
)
METHOD_IN_CHANGE_SET: Final = (
    "An invalid HTTP method '{}' was detected for a request in a change set. Requests in change sets only support "
    "the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'."
)
NO_CONTENT_ID: Final = (
    "The header with name 'Content-ID' was not present in the header collection of the batch operation."
)
DUPLICATE_CONTENT_ID: Final = (
    "The content ID '{}' was found more than once in the same change set or same batch request. Content IDs have to "
    "be unique across all operations of a change set for OData V4.0 and have to be unique across all operations in "
    "the whole batch request for OData V4.01."
)
CONTENT_LENGTH: Final = (
    "The content length header '{}' is not valid. The content length header must be a valid Int32 literal and must "
    "be greater than or equal to 0."
)
END_OF_INPUT: Final = "Encountered an unexpected end of input while reading the batch payload."

#: Limits.
TOO_MANY_PARTS: Final = (
    "The current batch message contains too many parts. "
    "A maximum number of '{}' query operations and change sets are allowed in a batch message."
)
TOO_MANY_IN_CHANGE_SET: Final = (
    "The current change set contains too many operations. "
    "A maximum number of '{}' operations are allowed in a change set."
)

#: No recording holds these; the words are ours.
LINE_END: Final = "A line of the batch payload does not end with CRLF."
URL_TOO_LONG: Final = "The URL of a batch operation has {} characters; at most {} are allowed."
BOUNDARY_TOO_LONG: Final = "The boundary '{}' is invalid. A boundary has at most 70 characters."
