"""The sample organisation's tables: a small sales environment with the names that Dataverse itself uses.

Owns: the composed metadata of the sandbox's built-in organisation and its few fixed records.
Does not know: storage.
Source: Microsoft Learn table reference (names of tables, columns, relationships); `new_*` are invented customisations.
"""

from dataclasses import replace

from bulklink.sandbox.model import AlternateKey, Column, Kind, ManyToMany, Model, OneToMany, Table

ORGANISATION_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0001"
BUSINESS_UNIT_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0002"
USER_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0003"
TEAM_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0004"
ADMINISTRATOR_ROLE_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0005"
BASIC_USER_ROLE_ID = "0b0e7a1c-5f3d-4c4e-9a51-2d6f8c1e0006"

_STATE = "statecode:State:0=Active,1=Inactive statuscode:Status:1=Active,2=Inactive"
_ACTIVITY = (
    "subject:String:200 description:Memo:2000 scheduledend:DateTime "
    "statecode:State:0=Open,1=Completed,2=Canceled statuscode:Status:2=Not_Started,3=In_Progress,5=Completed,6=Canceled"
)

# table, entity set, schema name, object type code, primary name, base, alternate keys
_TABLES = (
    ("account", "accounts", "Account", 1, "name", "", ("accountnumber",)),
    ("contact", "contacts", "Contact", 2, "fullname", "", ("emailaddress1", "employeeid")),
    ("lead", "leads", "Lead", 4, "fullname", "", ()),
    ("opportunity", "opportunities", "Opportunity", 3, "name", "", ()),
    ("competitor", "competitors", "Competitor", 123, "name", "", ()),
    ("task", "tasks", "Task", 4212, "subject", "activitypointer", ()),
    ("email", "emails", "Email", 4202, "subject", "activitypointer", ()),
    ("activityparty", "activityparties", "ActivityParty", 135, "partyidname", "", ()),
    ("systemuser", "systemusers", "SystemUser", 8, "fullname", "principal", ()),
    ("team", "teams", "Team", 9, "name", "principal", ()),
    ("businessunit", "businessunits", "BusinessUnit", 10, "name", "", ()),
    ("role", "roles", "Role", 1036, "name", "", ()),
    ("list", "lists", "List", 4300, "listname", "", ()),
    ("campaign", "campaigns", "Campaign", 4400, "name", "", ("codename",)),
    ("product", "products", "Product", 1024, "name", "", ("productnumber",)),
    ("queue", "queues", "Queue", 2020, "name", "", ()),
    ("new_tag", "new_tags", "new_Tag", 10001, "new_name", "", ("new_code",)),
    ("new_project", "new_projects", "new_Project", 10002, "new_name", "", ("new_code",)),
    ("sdkmessage", "sdkmessages", "SdkMessage", 4606, "name", "", ()),
    ("sdkmessagefilter", "sdkmessagefilters", "SdkMessageFilter", 4607, "name", "", ()),
)

# name:kind, then the length, or the options as value=label
_COLUMNS = {
    "account": f"""
        name:String:160 accountnumber:String:20 telephone1:String:50 emailaddress1:String:100
        websiteurl:String:200 address1_city:String:80 address1_country:String:80 revenue:Money
        numberofemployees:Integer creditonhold:Boolean description:Memo:2000 lastonholdtime:DateTime
        industrycode:Picklist:1=Accounting,2=Agriculture,7=Consulting
        customertypecode:Picklist:1=Competitor,2=Consultant,3=Customer {_STATE}
    """,
    "contact": f"""
        fullname:String:160 firstname:String:50 lastname:String:50 emailaddress1:String:100 telephone1:String:50
        jobtitle:String:100 birthdate:DateTime employeeid:String:50 donotemail:Boolean description:Memo:2000
        {_STATE}
    """,
    "lead": """
        fullname:String:160 firstname:String:50 lastname:String:50 subject:String:300 companyname:String:100
        emailaddress1:String:100 revenue:Money leadqualitycode:Picklist:1=Hot,2=Warm,3=Cold
        statecode:State:0=Open,1=Qualified,2=Disqualified statuscode:Status:1=New,2=Contacted,3=Qualified,4=Lost
    """,
    "opportunity": """
        name:String:300 estimatedvalue:Money estimatedclosedate:DateTime closeprobability:Integer
        description:Memo:2000 statecode:State:0=Open,1=Won,2=Lost
        statuscode:Status:1=In_Progress,2=On_Hold,3=Won,4=Canceled,5=Out-Sold
    """,
    "competitor": """
        name:String:100 websiteurl:String:200 strengths:Memo:2000 weaknesses:Memo:2000
    """,
    "task": f"""
        {_ACTIVITY}
    """,
    "email": f"""
        {_ACTIVITY} directioncode:Boolean sender:String:250
    """,
    "activityparty": """
        partyidname:String:400 addressused:String:320
        participationtypemask:Picklist:1=Sender,2=To_Recipient,3=CC_Recipient,4=BCC_Recipient,5=Required_attendee,6=Optional_attendee,7=Organizer,8=Regarding,9=Owner
    """,
    "systemuser": """
        fullname:String:200 firstname:String:256 lastname:String:256 domainname:String:1024
        internalemailaddress:String:100 isdisabled:Boolean azureactivedirectoryobjectid:Uniqueidentifier
        applicationid:Uniqueidentifier
    """,
    "team": """
        name:String:160 description:Memo:2000 teamtype:Picklist:0=Owner,1=Access,2=Security_Group,3=Office_Group
    """,
    "businessunit": """
        name:String:160 isdisabled:Boolean
    """,
    "role": """
        name:String:100
    """,
    "list": f"""
        listname:String:128 type:Boolean createdfromcode:Picklist:1=Account,2=Contact,4=Lead lockstatus:Boolean
        {_STATE}
    """,
    "campaign": f"""
        name:String:128 codename:String:32 description:Memo:2000 budgetedcost:Money {_STATE}
    """,
    "product": f"""
        name:String:100 productnumber:String:100 price:Money description:Memo:2000 {_STATE}
    """,
    "queue": f"""
        name:String:200 emailaddress:String:100 {_STATE}
    """,
    "new_tag": f"""
        new_name:String:100 new_code:String:20 new_weight:Decimal {_STATE}
    """,
    "new_project": f"""
        new_name:String:100 new_code:String:20 new_start:DateTime {_STATE}
    """,
    "sdkmessage": """
        name:String:256
    """,
    "sdkmessagefilter": """
        name:String:256 primaryobjecttypecode:String:100
    """,
}

# table1, attribute1, navigation1, table2, attribute2, navigation2, intersect, its entity set, schema name
_MANY_TO_MANY = (
    ("account", "accountid", "accountleads_association", "lead", "leadid", "accountleads_association",
     "accountleads", "accountleadscollection", "accountleads_association"),
    ("contact", "contactid", "contactleads_association", "lead", "leadid", "contactleads_association",
     "contactleads", "contactleadscollection", "contactleads_association"),
    ("opportunity", "opportunityid", "opportunitycompetitors_association", "competitor", "competitorid",
     "opportunitycompetitors_association", "opportunitycompetitors", "opportunitycompetitorscollection",
     "opportunitycompetitors_association"),
    ("lead", "leadid", "leadcompetitors_association", "competitor", "competitorid", "leadcompetitors_association",
     "leadcompetitors", "leadcompetitorscollection", "leadcompetitors_association"),
    ("systemuser", "systemuserid", "systemuserroles_association", "role", "roleid", "systemuserroles_association",
     "systemuserroles", "systemuserrolescollection", "systemuserroles_association"),
    ("team", "teamid", "teammembership_association", "systemuser", "systemuserid", "teammembership_association",
     "teammembership", "teammemberships", "teammembership_association"),
    ("team", "teamid", "teamroles_association", "role", "roleid", "teamroles_association",
     "teamroles", "teamrolescollection", "teamroles_association"),
    ("queue", "queueid", "queuemembership_association", "systemuser", "systemuserid", "queuemembership_association",
     "queuemembership", "queuememberships", "queuemembership_association"),
    ("product", "productid", "leadproduct_association", "lead", "leadid", "leadproduct_association",
     "leadproduct", "leadproducts", "leadproduct_association"),
    ("campaign", "campaignid", "campaigncampaign_association", "campaign", "entityid",
     "campaigncampaign_association_referenced", "campaignitem", "campaignitems", "campaigncampaign_association"),
    ("account", "entityid", "listaccount_association", "list", "listid", "listaccount_association",
     "listmember", "listmembers", "listaccount_association"),
    ("contact", "entityid", "listcontact_association", "list", "listid", "listcontact_association",
     "listmember", "listmembers", "listcontact_association"),
    ("lead", "entityid", "listlead_association", "list", "listid", "listlead_association",
     "listmember", "listmembers", "listlead_association"),
    # A customisation whose name begins with one table while the other comes first, as a recording shows.
    ("new_tag", "new_tagid", "new_Account_new_Tag_new_Tag", "account", "accountid", "new_Account_new_Tag_new_Tag",
     "new_account_new_tag", "new_account_new_tagset", "new_Account_new_Tag_new_Tag"),
    ("new_tag", "new_tagidone", "new_new_Tag_new_Tag", "new_tag", "new_tagidtwo", "new_new_Tag_new_Tag_referenced",
     "new_new_tag_new_tag", "new_new_tag_new_tagset", "new_new_Tag_new_Tag"),
)  # fmt: skip

_OWNED = (
    ("account", "accounts"), ("contact", "contacts"), ("lead", "leads"), ("opportunity", "opportunitys"),
    ("task", "tasks"), ("email", "emails"), ("list", "lists"), ("campaign", "campaigns"), ("queue", "queues"),
    ("new_tag", "new_tag"), ("new_project", "new_project"),
)  # fmt: skip

# schema name and collection navigation, one, many, column, lookup navigation, what deleting the one does to the many
_ONE_TO_MANY = (
    ("contact_customer_accounts", "account", "contact", "parentcustomerid", "parentcustomerid_account", "RemoveLink"),
    ("contact_customer_contacts", "contact", "contact", "parentcustomerid", "parentcustomerid_contact", "RemoveLink"),
    ("account_primary_contact", "contact", "account", "primarycontactid", "primarycontactid", "RemoveLink"),
    ("account_parent_account", "account", "account", "parentaccountid", "parentaccountid", "RemoveLink"),
    ("opportunity_customer_accounts", "account", "opportunity", "customerid", "customerid_account", "Cascade"),
    ("opportunity_customer_contacts", "contact", "opportunity", "customerid", "customerid_contact", "Cascade"),
    ("opportunity_parent_account", "account", "opportunity", "parentaccountid", "parentaccountid", "RemoveLink"),
    ("opportunity_parent_contact", "contact", "opportunity", "parentcontactid", "parentcontactid", "RemoveLink"),
    ("opportunity_originating_lead", "lead", "opportunity", "originatingleadid", "originatingleadid", "RemoveLink"),
    ("lead_parent_account", "account", "lead", "parentaccountid", "parentaccountid", "RemoveLink"),
    ("lead_parent_contact", "contact", "lead", "parentcontactid", "parentcontactid", "RemoveLink"),
    ("lead_customer_accounts", "account", "lead", "customerid", "customerid_account", "RemoveLink"),
    ("lead_customer_contacts", "contact", "lead", "customerid", "customerid_contact", "RemoveLink"),
    ("Account_Tasks", "account", "task", "regardingobjectid", "regardingobjectid_account_task", "Cascade"),
    ("Contact_Tasks", "contact", "task", "regardingobjectid", "regardingobjectid_contact_task", "Cascade"),
    ("Lead_Tasks", "lead", "task", "regardingobjectid", "regardingobjectid_lead_task", "Cascade"),
    ("Opportunity_Tasks", "opportunity", "task", "regardingobjectid",
     "regardingobjectid_opportunity_task", "Cascade"),
    ("Account_Emails", "account", "email", "regardingobjectid", "regardingobjectid_account_email", "Cascade"),
    ("Contact_Emails", "contact", "email", "regardingobjectid", "regardingobjectid_contact_email", "Cascade"),
    ("Opportunity_Emails", "opportunity", "email", "regardingobjectid",
     "regardingobjectid_opportunity_email", "Cascade"),
    ("email_activity_parties", "email", "activityparty", "activityid", "activityid_email", "Cascade"),
    ("task_activity_parties", "task", "activityparty", "activityid", "activityid_task", "Cascade"),
    ("account_activity_parties", "account", "activityparty", "partyid", "partyid_account", "NoCascade"),
    ("contact_activity_parties", "contact", "activityparty", "partyid", "partyid_contact", "NoCascade"),
    ("lead_activity_parties", "lead", "activityparty", "partyid", "partyid_lead", "NoCascade"),
    ("queue_activity_parties", "queue", "activityparty", "partyid", "partyid_queue", "NoCascade"),
    ("system_user_activity_parties", "systemuser", "activityparty", "partyid", "partyid_systemuser", "NoCascade"),
    ("business_unit_system_users", "businessunit", "systemuser", "businessunitid", "businessunitid", "Restrict"),
    ("business_unit_teams", "businessunit", "team", "businessunitid", "businessunitid", "Restrict"),
    ("business_unit_roles", "businessunit", "role", "businessunitid", "businessunitid", "Restrict"),
    ("business_unit_parent_business_unit", "businessunit", "businessunit", "parentbusinessunitid",
     "parentbusinessunitid", "Restrict"),
    # Custom lookups keep the case of their schema name in the navigation property, never in the column.
    ("new_account_new_project", "account", "new_project", "new_customer", "new_Customer", "Restrict"),
    ("new_contact_new_project", "contact", "new_project", "new_sponsorid", "new_SponsorId", "RemoveLink"),
    ("sdkmessageid_sdkmessagefilter", "sdkmessage", "sdkmessagefilter", "sdkmessageid", "sdkmessageid", "Cascade"),
)  # fmt: skip

# Two intersects that serve several pairs of tables: they name the table of `entityid`, and some columns are lookups.
_INTERSECT_LOOKUPS = {"listmember": ("listid", "entityid"), "campaignitem": ("campaignid",)}
_HIERARCHIES = frozenset({"account_parent_account", "business_unit_parent_business_unit"})
_PRIMARY_IDS = {"task": "activityid", "email": "activityid"}
_KINDS = {"parentcustomerid": Kind.CUSTOMER, "customerid": Kind.CUSTOMER, "ownerid": Kind.OWNER}


def sample_model() -> Model:
    """The metadata of the sample organisation."""
    tables = [_table(*line) for line in _TABLES]
    tables += [_intersect(line) for line in _MANY_TO_MANY]
    return Model(
        {table.name: table for table in tables},
        {r.name: r for r in _one_to_many()},
        {line[-1]: ManyToMany(line[8], *line[:7]) for line in _MANY_TO_MANY},
        {"principal": ("systemuser", "team"), "owner": ("systemuser", "team")},
    )


def _table(
    name: str,
    entity_set: str,
    schema: str,
    code: int,
    primary_name: str,
    base: str,
    keys: tuple[str, ...],
) -> Table:
    primary_id = _PRIMARY_IDS.get(name, f"{name}id")
    found = [Column(primary_id, Kind.UNIQUEIDENTIFIER, schema + "Id")]
    found += [_column(text) for text in _COLUMNS[name].split()]
    found += [Column(lookup, _KINDS[lookup]) for lookup in _special_lookups(name)]
    found += [Column("createdon", Kind.DATETIME), Column("modifiedon", Kind.DATETIME)]
    found.append(Column("versionnumber", Kind.BIGINT))
    alternate = tuple(AlternateKey(f"{name}_{key.replace(',', '_')}", tuple(key.split(","))) for key in keys)
    return Table(
        name, entity_set, primary_id, {c.name: c for c in found}, primary_name, schema, alternate,
        is_custom=name.startswith("new_"), type_code=code, base=base,
    )  # fmt: skip


def _special_lookups(table: str) -> list[str]:
    used = {line[3] for line in _ONE_TO_MANY if line[2] == table} & _KINDS.keys()
    return sorted(used) + (["ownerid"] if table in dict(_OWNED) else [])


def _column(text: str) -> Column:
    name, kind, detail = [*text.split(":", 2), ""][:3]
    if "=" in detail:
        pairs = [pair.split("=") for pair in detail.split(",")]
        options = tuple((int(value), label.replace("_", " ")) for value, label in pairs)
        return Column(name, Kind(kind), options=options)
    return Column(name, Kind(kind), length_max=int(detail or 0))


def _intersect(line: tuple[str, ...]) -> Table:
    _, attribute1, _, _, attribute2, _, name, entity_set, _ = line
    primary_id = f"{name.removesuffix('s')}id"
    columns = [Column(key, Kind.UNIQUEIDENTIFIER) for key in (primary_id, attribute1, attribute2)]
    columns = [replace(c, kind=Kind.LOOKUP) if c.name in _INTERSECT_LOOKUPS.get(name, ()) else c for c in columns]
    if name in _INTERSECT_LOOKUPS:
        columns.append(Column("entitytype", Kind.STRING))
    columns.append(Column("versionnumber", Kind.BIGINT))
    return Table(
        name, entity_set, primary_id, {c.name: c for c in columns},
        is_intersect=True, is_custom=name.startswith("new_"), type_code=0,
    )  # fmt: skip


def _one_to_many() -> list[OneToMany]:
    named = [OneToMany(*line[:4], line[0], *line[4:], is_hierarchical=line[0] in _HIERARCHIES) for line in _ONE_TO_MANY]
    owned = [
        OneToMany(f"owner_{plural}", "owner", table, "ownerid", f"owner_{plural}", "ownerid", "NoCascade")
        for table, plural in _OWNED
    ]
    return named + owned


#: Records that every sample organisation starts with.
SAMPLE_RECORDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("businessunit", {"businessunitid": BUSINESS_UNIT_ID, "name": "Contoso", "isdisabled": False}),
    ("systemuser", {"systemuserid": USER_ID, "fullname": "Sandbox User", "domainname": "user@contoso.example",
                    "isdisabled": False, "businessunitid": BUSINESS_UNIT_ID}),
    ("team", {"teamid": TEAM_ID, "name": "Contoso", "teamtype": 0, "businessunitid": BUSINESS_UNIT_ID}),
    ("role", {"roleid": ADMINISTRATOR_ROLE_ID, "name": "System Administrator", "businessunitid": BUSINESS_UNIT_ID}),
    ("role", {"roleid": BASIC_USER_ROLE_ID, "name": "Basic User", "businessunitid": BUSINESS_UNIT_ID}),
)  # fmt: skip
