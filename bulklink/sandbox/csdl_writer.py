"""Write a model as a ``$metadata`` document.

Owns: CSDL out, in the structure of the service's own documents.
Does not know: records, requests.
Source: OData 4.0 Part 3 (CSDL); real `$metadata` documents.
"""

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from bulklink.sandbox.model import CollectionNavigation, LookupNavigation, Model, Navigation, Table
from bulklink.sandbox.storage import edm_type

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
    '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
    '<EntityType Name="crmbaseentity" Abstract="true"/>'
)
_TAIL = "</Schema></edmx:DataServices></edmx:Edmx>"

_KEYS = "OData.Community.Keys.V1"
#: Abstract types: their key, which the derived types share.
_BASE_KEYS = {"principal": "ownerid", "activitypointer": "activityid"}

_GUIDS = '<Property Name="BusinessUnitId" Type="Edm.Guid"/><Property Name="UserId" Type="Edm.Guid"/>'
_OPERATIONS = (
    f'<ComplexType Name="WhoAmIResponse">{_GUIDS}<Property Name="OrganizationId" Type="Edm.Guid"/></ComplexType>'
    '<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false"/></Function>'
)
_OPERATIONS_BY_TABLE = {
    "list": (
        '<ComplexType Name="AddMemberListResponse"><Property Name="ListMemberId" Type="Edm.Guid"/></ComplexType>'
        '<Action Name="AddMemberList" IsBound="true"><Parameter Name="entity" Type="mscrm.list" Nullable="false"/>'
        '<Parameter Name="EntityId" Type="Edm.Guid" Nullable="false"/>'
        '<ReturnType Type="mscrm.AddMemberListResponse" Nullable="false"/></Action>'
        '<Action Name="RemoveMemberList" IsBound="true"><Parameter Name="entity" Type="mscrm.list" Nullable="false"/>'
        '<Parameter Name="EntityId" Type="Edm.Guid" Nullable="false"/></Action>'
        '<Action Name="AddListMembersList"><Parameter Name="List" Type="mscrm.list" Nullable="false"/>'
        '<Parameter Name="Members" Type="Collection(mscrm.crmbaseentity)" Nullable="false"/></Action>'
    ),
    "team": "".join(
        f'<Action Name="{name}" IsBound="true"><Parameter Name="entity" Type="mscrm.team" Nullable="false"/>'
        '<Parameter Name="Members" Type="Collection(mscrm.systemuser)" Nullable="false"/></Action>'
        for name in ("AddMembersTeam", "RemoveMembersTeam")
    ),
}


def write_csdl(model: Model) -> str:
    """The whole document."""
    parts = [_HEAD]
    parts += [part for base in _bases(model) for part in _base_type(model, base)]
    parts += [part for table in model.tables.values() for part in _entity_type(model, table)]
    parts.append(_OPERATIONS)
    parts += [text for name, text in _OPERATIONS_BY_TABLE.items() if name in model.tables]
    parts += _container(model)
    parts.append(_TAIL)
    return "".join(parts)


def _bases(model: Model) -> list[str]:
    return [base for base in _BASE_KEYS if any(table.base == base for table in model.tables.values())]


def _base_type(model: Model, base: str) -> Iterator[str]:
    key = _BASE_KEYS[base]
    yield f'<EntityType Name="{base}" BaseType="mscrm.crmbaseentity" Abstract="true">'
    yield f'<Key><PropertyRef Name="{key}"/></Key><Property Name="{key}" Type="Edm.Guid"/>'
    yield from (_navigation(model, navigation) for navigation in _inherited(model, base))
    yield "</EntityType>"


def _inherited(model: Model, base: str) -> list[Navigation]:
    """The collections that belong to an abstract type, such as the records that a user or a team owns."""
    found: dict[str, Navigation] = {}
    for table in model.tables.values():
        if table.base == base:
            for navigation in model.navigations[table.name].values():
                if isinstance(navigation, CollectionNavigation) and navigation.relationship.one not in model.tables:
                    found[navigation.name] = navigation
    return list(found.values())


def _entity_type(model: Model, table: Table) -> Iterator[str]:
    base = table.base if table.base in _BASE_KEYS else "crmbaseentity"
    key = _BASE_KEYS.get(base, table.primary_id)
    yield f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.{base}"><Key><PropertyRef Name="{key}"/></Key>'
    for column in table.columns.values():
        if column.name != key or base == "crmbaseentity":
            yield f'<Property Name={quoteattr(column.property_name)} Type="{edm_type(column)}"/>'
    inherited = {navigation.name for navigation in _inherited(model, base)}
    for navigation in model.navigations[table.name].values():
        if navigation.name not in inherited:
            yield _navigation(model, navigation)
    yield from _alternate_keys(table)
    yield "</EntityType>"


def _navigation(model: Model, navigation: Navigation) -> str:
    name = quoteattr(navigation.name)
    if isinstance(navigation, LookupNavigation):
        return _lookup(model, navigation)
    if isinstance(navigation, CollectionNavigation):
        partner = navigation.relationship.lookup_navigation
    else:
        pairing = navigation.relationship
        is_first = (navigation.name, navigation.table) == (pairing.navigation1, pairing.table1)
        partner = pairing.navigation2 if is_first else pairing.navigation1
    shown = f" Partner={quoteattr(partner)}" if partner else ""
    return f'<NavigationProperty Name={name} Type="Collection(mscrm.{navigation.other})"{shown}/>'


def _lookup(model: Model, navigation: LookupNavigation) -> str:
    relationship = navigation.relationship
    partner = f" Partner={quoteattr(relationship.collection_navigation)}" if relationship.collection_navigation else ""
    one = model.tables.get(relationship.one)
    kind = "principal" if relationship.one == "owner" else relationship.one
    column = model.tables[navigation.table].columns[navigation.column]
    return (
        f'<NavigationProperty Name={quoteattr(navigation.name)} Type="mscrm.{kind}" Nullable="false"{partner}>'
        f"<ReferentialConstraint Property={quoteattr(column.property_name)} "
        f'ReferencedProperty="{one.primary_id if one else "ownerid"}"/></NavigationProperty>'
    )


def _alternate_keys(table: Table) -> Iterator[str]:
    if not table.keys:
        return
    yield f'<Annotation Term="{_KEYS}.AlternateKeys"><Collection>'
    for key in table.keys:
        yield f'<Record Type="{_KEYS}.AlternateKey"><PropertyValue Property="Key"><Collection>'
        for column in key.columns:
            name = table.columns[column].property_name
            yield f'<Record Type="{_KEYS}.PropertyRef"><PropertyValue Property="Alias" String="{name}"/>'
            yield f'<PropertyValue Property="Name" PropertyPath="{name}"/></Record>'
        yield "</Collection></PropertyValue></Record>"
    yield "</Collection></Annotation>"


def _container(model: Model) -> Iterable[str]:
    yield '<EntityContainer Name="System">'
    for table in model.entity_sets.values():
        yield f'<EntitySet Name={quoteattr(table.entity_set)} EntityType="Microsoft.Dynamics.CRM.{table.name}">'
        for navigation in model.navigations[table.name].values():
            target = _target_set(model, navigation)
            if target:
                yield f"<NavigationPropertyBinding Path={quoteattr(navigation.name)} Target={quoteattr(target)}/>"
        yield "</EntitySet>"
    yield "</EntityContainer>"


def _target_set(model: Model, navigation: Navigation) -> str:
    name = navigation.relationship.one if isinstance(navigation, LookupNavigation) else navigation.other
    if name in ("owner", "principal"):
        return "owners"
    table = model.tables.get(name)
    return table.entity_set if table else ""
