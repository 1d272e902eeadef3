"""The uncertain points of the protocol as switches.

Owns: one named toggle for every behaviour of the service that no recording or documentation settles, with the default
that the sandbox takes, the question, and the values allowed.
Does not know: who obeys a toggle; rules read theirs, the server reads the transport's.
Source: the protocol's register of uncertain points, U1 to U27.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bulklink.sandbox.errors import SandboxUsageError, nearest

#: Written in the list of allowed values where any whole number from 0 up will do.
NUMBER = "NUMBER"


def _toggle(point: str, default: str | int, values: tuple[str, ...], question: str) -> Any:
    return field(default=default, metadata={"point": point, "values": values, "question": question})


@dataclass(frozen=True, slots=True)
class Toggle:
    """One line of the listing."""

    name: str
    point: str
    default: str
    values: tuple[str, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Toggles:
    """How the sandbox behaves where the service's behaviour is not known. Without arguments: the defaults."""

    disassociate_missing: str = _toggle("U1", "204", ("204", "404"), "Disassociate an N:N link that is not there.")
    disassociate_other_parent: str = _toggle(
        "U2", "keep", ("keep", "clear", "404"), "Remove a record from a 1:N collection whose lookup points elsewhere."
    )
    duplicate_text: str = _toggle(
        "U3",
        "insert",
        ("insert", "matching"),
        "Text of a duplicate N:N link: 'Cannot insert duplicate key.' or the other.",
    )
    refused_batch_shape: str = _toggle(
        "U4", "current", ("current", "legacy"), "JSON of a batch refused as a whole: {error} or {Message, ErrorCode}."
    )
    malformed_part: str = _toggle(
        "U5",
        "validate-first",
        ("validate-first", "lazy"),
        "Malformed part in the middle: run nothing, or what precedes it.",
    )
    unblamed: str = _toggle(
        "U6", "never", ("never", "always"), "A failed change set comes back as one error part without Content-ID."
    )
    bind_null: str = _toggle(
        "U7", "reject", ("reject", "ignore", "clear"), "PATCH with '<navigation>@odata.bind': null."
    )
    relative_odata_id: str = _toggle("U8", "reject", ("reject", "accept"), "Relative @odata.id in a $ref request.")
    relative_inner_url: str = _toggle("U9", "accept", ("accept", "400", "404"), "Service-relative URL inside a batch.")
    content_id_scope: str = _toggle("U10", "change-set", ("change-set", "batch"), "How far a $<Content-ID> reaches.")
    outer_headers: str = _toggle(
        "U11", "impersonation", ("impersonation", "all", "none"), "Which headers of the batch apply to its operations."
    )
    count_mode: str = _toggle(
        "U12",
        "total",
        ("total", "lib"),
        "What the operation limit counts: all operations, or items and each change set.",
    )
    operations_max: int = _toggle("U12", 1000, (NUMBER,), "The operation limit; one tenant reported 250.")
    batch_time_max_s: int = _toggle("U13", 0, (NUMBER,), "Seconds after which the server gives a batch up; 0 = never.")
    batch_time_answer: str = _toggle("U13", "503", ("503", "504", "reset"), "What the client sees of such a batch.")
    payload_bytes_max: int = _toggle("U14", 0, (NUMBER,), "Bytes of a request above which the answer is 413; 0 = any.")
    json_batch: str = _toggle("U15", "415", ("415", "400"), "Answer to a JSON batch.")
    request_gzip: str = _toggle("U16", "415", ("415", "accept"), "Request body with Content-Encoding: gzip.")
    reflexive_names: str = _toggle(
        "U17",
        "as-captured",
        ("as-captured", "same-name", "swapped"),
        "Entity1/2NavigationPropertyName of a reflexive N:N; 'swapped' also swaps the sides of the others.",
    )
    wrong_target_clear: str = _toggle(
        "U18", "keep", ("keep", "clear", "404"), "Clear a polymorphic lookup through the navigation of another table."
    )
    deadlock_status: str = _toggle("U19", "500", ("500", "400"), "Status of a batch that stopped at a deadlock.")
    claims_challenge: str = _toggle(
        "U20", "none", ("none", "challenge"), "First request with a token: 401 with claims."
    )
    client_request_id: str = _toggle("U21", "drop", ("drop", "echo"), "x-ms-client-request-id in the answer.")
    sql_status: str = _toggle(
        "U22", "500", ("500", "503"), "Status of SQL and lock errors other than deadlock, time-out."
    )
    invalid_guid_code: str = _toggle("U23", "0x80060888", ("0x80060888", "0x0"), "Code for an invalid GUID in a URL.")
    throttled_part: str = _toggle("U24", "never", ("never", "inject"), "429 with Retry-After inside a part of a batch.")
    lenient_eol: str = _toggle("U25", "no", ("no", "yes"), "Multipart with bare line feeds.")
    update_multiple_null: str = _toggle("U26", "clear", ("clear", "400"), "Null for a navigation in UpdateMultiple.")
    parties: str = _toggle(
        "U27",
        "replace",
        ("replace", "append", "405", "put-405"),
        "PUT on activity parties, and a nested array of them on PATCH.",
    )

    @classmethod
    def listing(cls) -> list[Toggle]:
        """Every toggle, in the order of the register."""
        return [
            Toggle(f.name, f.metadata["point"], str(f.default), f.metadata["values"], f.metadata["question"])
            for f in dataclasses.fields(cls)
        ]

    @classmethod
    def parse(cls, settings: Mapping[str, object]) -> Self:
        """Read toggles by name (``-`` for ``_`` is fine); SandboxUsageError for an unknown name or value."""
        known = {toggle.name: toggle for toggle in cls.listing()}
        chosen: dict[str, Any] = {}
        for given, value in settings.items():
            name = given.replace("-", "_")
            if name not in known:
                raise SandboxUsageError(f"There is no toggle '{given}'.{nearest(name, known)}")
            chosen[name] = _checked(known[name], _as_text(value))
        return cls(**chosen)


def _as_text(value: object) -> str:
    # TOML has booleans; the toggles say yes and no.
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _checked(toggle: Toggle, value: str) -> str | int:
    if toggle.values == (NUMBER,):
        if not value.isdecimal():
            raise SandboxUsageError(f"Toggle '{toggle.name}' wants a whole number from 0 up, not '{value}'.")
        return int(value)
    if value not in toggle.values:
        raise SandboxUsageError(f"Toggle '{toggle.name}' is one of {', '.join(toggle.values)}, not '{value}'.")
    return value
