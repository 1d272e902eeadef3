"""What every rule needs at hand.

Owns: `Context` (organisation, toggles, addresses, and the questions that rules share) and `Operation` (one request
with the Content-IDs it may use).
Does not know: which rule asks.
Source: Microsoft Learn, "Associate and disassociate table rows", "Security roles and privileges"; recorded refusals.
"""

from dataclasses import dataclass

from bulklink.sandbox.addresses import Addresses, Key, api_path, dereferenced
from bulklink.sandbox.errors import bad_payload, does_not_exist, unparsed_url, version_mismatch
from bulklink.sandbox.messages import Request
from bulklink.sandbox.model import CollectionNavigation, LinkNavigation, LookupNavigation, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.privileges import privilege_denied
from bulklink.sandbox.toggles import Toggles

CONCURRENCY_ANY = "*"


@dataclass(slots=True)
class Operation:
    """One request. `content_ids`: ``$1`` -> URL of the record created under that Content-ID."""

    request: Request
    content_ids: dict[str, str] | None

    def created(self, url: str) -> None:
        """Let later operations of the change set refer to the record by this operation's Content-ID."""
        content_id = self.request.headers.get("content-id")
        # The library takes the URL from the OData-EntityId header, which an answer with the record does not have.
        if self.content_ids is not None and content_id and not self.request.wants_representation:
            self.content_ids[f"${content_id}"] = url


@dataclass(slots=True)
class Context:
    """The organisation and how it behaves."""

    organisation: Organisation
    toggles: Toggles
    addresses: Addresses

    def url(self, operation: Operation, table: Table, record_id: str) -> str:
        """The URL of a record."""
        return f"{operation.request.api_url}/{table.entity_set}({record_id})"

    def require(self, right: str, table: str) -> None:
        """Refuse if the caller lacks a privilege such as ``AppendTo`` on a table."""
        missing = self.organisation.missing_privileges
        if missing and (right, table) in missing:
            known, organisation = self.organisation.model.tables[table], self.organisation
            raise privilege_denied(right, known, organisation.user_id, organisation.business_unit_id)

    def require_association(
        self, navigation: LinkNavigation | CollectionNavigation | LookupNavigation, other: str
    ) -> None:
        """Append on the one table, AppendTo on the other, and Write on the table that holds a lookup."""
        if not self.organisation.missing_privileges:
            return
        if isinstance(navigation, CollectionNavigation):
            self.require("Append", other)
            self.require("AppendTo", navigation.table)
            self.require("Write", other)
            return
        self.require("Append", navigation.table)
        self.require("AppendTo", other)
        if isinstance(navigation, LookupNavigation):
            self.require("Write", navigation.table)

    def referenced(self, operation: Operation, entity_set: str, text: object) -> tuple[Table, Key]:
        """The record that ``@odata.id`` of a reference names; ODataError unless it is an absolute URL of this host."""
        if not isinstance(text, str) or not text:
            raise bad_payload(entity_set, "The 'odata.id' instance annotation has a null or missing value.")
        api_url = operation.request.api_url
        path: str | None = None
        if text.startswith("$"):
            path = dereferenced(text, operation.content_ids, api_url)
        elif "://" in text:
            path = api_path(text, api_url)
        elif self.toggles.relative_odata_id == "accept":
            path = api_path(text, api_url) or text
        if path is None:
            raise bad_payload(entity_set, f"The reference '{text}' is no absolute URL of a record of this environment.")
        entity = self.addresses.entity(path)
        if entity is None:
            raise unparsed_url()
        return entity

    def bound(self, operation: Operation, text: str) -> tuple[Table, str]:
        """The existing record that a bind value names, in any of its spellings."""
        request = operation.request
        path = dereferenced(text, operation.content_ids, request.api_url) if text.startswith("$") else text
        if "://" in path or path.startswith("/api/"):
            path = api_path(path, request.api_url) or ""
        path = path.lstrip("/")
        if path.startswith("owners("):
            return self._owner(path)
        entity = self.addresses.entity(path)
        if entity is None:
            raise unparsed_url()
        return entity[0], self.addresses.existing_id(*entity)

    def _owner(self, path: str) -> tuple[Table, str]:
        # `owners` is a binding target although no such entity set is declared.
        candidates = [self.organisation.model.tables[t] for t in self.organisation.model.abstract.get("principal", ())]
        if not candidates:
            raise unparsed_url()
        key = self.addresses.key(candidates[0], path.removeprefix("owners(").removesuffix(")"))
        for table in candidates:
            if self.organisation.exists(table, key.id):
                return table, key.id
        raise does_not_exist("owner", key.id)

    def check_version(self, operation: Operation, table: Table, record_id: str) -> None:
        """Refuse if ``If-Match`` names another version of an existing record."""
        wanted = operation.request.headers.get("if-match", "")
        if not wanted or wanted == CONCURRENCY_ANY:
            return
        record = self.organisation.read(table, record_id)
        if record is None:
            raise does_not_exist(table.name, record_id)
        if etag(record["versionnumber"]) not in [tag.strip() for tag in wanted.split(",")]:
            raise version_mismatch()


def etag(version: int) -> str:
    """The entity tag of a row version."""
    return f'W/"{version}"'
