"""Facts of a small made-up organisation, for tests of relationships, forms and questions."""

from bulklink.core.facts import Facts, ManyToMany, OneToMany, Table

TABLES = {
    table.logical_name: table
    for table in (
        Table("account", "accounts", "accountid", "name"),
        Table("contact", "contacts", "contactid", "fullname"),
        Table("lead", "leads", "leadid", "fullname"),
        Table("task", "tasks", "activityid", "subject"),
        Table("campaign", "campaigns", "campaignid", "name"),
        Table("systemuser", "systemusers", "systemuserid", "fullname"),
        Table("team", "teams", "teamid", "name"),
        Table("new_project", "new_projects", "new_projectid", "new_name"),
        Table("accountleads", "accountleadscollection", "accountleadid"),
        Table("campaigncampaign", "campaigncampaignset", "campaigncampaignid"),
        Table("new_project_contact", "new_project_contactset", "new_project_contactid"),
    )
}
ACCOUNT_LEADS = ManyToMany(
    "accountleads_association",
    "accountleads",
    "account",
    "accountid",
    "accountleads_association",
    "lead",
    "leadid",
    "accountleads_association",
)
CAMPAIGNS = ManyToMany(
    "campaigncampaign_association",
    "campaigncampaign",
    "campaign",
    "campaignidone",
    "campaigncampaign_association",
    "campaign",
    "campaignidtwo",
    "campaigncampaign_association_referenced",
)
PROJECT_CONTACTS = ManyToMany(
    "new_Project_Contact",
    "new_project_contact",
    "contact",
    "contactid",
    "new_Projects",
    "new_project",
    "new_projectid",
    "new_Contacts",
)
PRIMARY_CONTACT = OneToMany(
    "account_primary_contact",
    "contact",
    "account_primary_contact",
    "account",
    "primarycontactid",
    "primarycontactid",
)
CUSTOMER_ACCOUNT = OneToMany(
    "contact_customer_accounts",
    "account",
    "contact_customer_accounts",
    "contact",
    "parentcustomerid",
    "parentcustomerid_account",
)
CUSTOMER_CONTACT = OneToMany(
    "contact_customer_contacts",
    "contact",
    "contact_customer_contacts",
    "contact",
    "parentcustomerid",
    "parentcustomerid_contact",
)
PARENT_ACCOUNT = OneToMany(
    "account_parent_account",
    "account",
    "account_parent_account",
    "account",
    "parentaccountid",
    "parentaccountid",
)
OWNER = OneToMany("owner_accounts", "owner", "owner_accounts", "account", "ownerid", "ownerid")
PROJECT_LEAD = OneToMany(
    "new_lead_new_project_Lead", "lead", "new_lead_new_project_Lead", "new_project", "new_lead", "new_Lead"
)
FACTS = Facts(
    tables=TABLES,
    many_to_many=(ACCOUNT_LEADS, CAMPAIGNS, PROJECT_CONTACTS),
    one_to_many=(PRIMARY_CONTACT, CUSTOMER_ACCOUNT, CUSTOMER_CONTACT, PARENT_ACCOUNT, OWNER, PROJECT_LEAD),
)
