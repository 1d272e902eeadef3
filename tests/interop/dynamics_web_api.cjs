// Runs the cases of test_dynamics_web_api.py with the npm package dynamics-web-api.
//
//   node dynamics_web_api.cjs < {"modules": dir, "url": "http://...", "accounts": [...], "leads": [...], ...}
//
// Prints one JSON object: case -> what the client saw. It judges nothing; the Python test does.

const path = require("node:path");

const read = async () => {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return JSON.parse(text);
};

const seen = (value) => {
  const one = (item) =>
    item instanceof Error || item?.status >= 400
      ? // The client keeps the service's error of a part one level deeper than that of a whole request.
        { status: item.status, code: item.code ?? item.error?.code, message: item.message || item.error?.message }
      : (item ?? null);
  return Array.isArray(value) ? value.map(one) : one(value);
};

(async () => {
  const world = await read();
  const { DynamicsWebApi } = require(path.join(world.modules, "dynamics-web-api"));
  const config = { serverUrl: world.url, dataApi: { version: "9.2" } };
  const api = new DynamicsWebApi({ ...config, onTokenRefresh: async () => "interop" });
  const { accounts, leads, contacts, missing } = world;

  const attempt = async (work) => {
    try {
      return { answer: seen(await work()) };
    } catch (error) {
      return { error: seen(error) };
    }
  };
  const batch = (fill, request) =>
    attempt(() => {
      api.startBatch();
      fill();
      return api.executeBatch(request);
    });
  const link = (account, lead, more) =>
    api.associate({
      collection: "accounts",
      primaryKey: account,
      relationshipName: "accountleads_association",
      relatedCollection: "leads",
      relatedKey: lead,
      ...more,
    });
  // A GET closes the change set before it; what follows it begins another one.
  const between = () => api.retrieve({ collection: "accounts", key: accounts[0], select: ["name"] });
  const linked = async (account) => {
    const found = await api.retrieve({
      collection: "accounts",
      key: account,
      select: ["name"],
      expand: [{ property: "accountleads_association", select: ["leadid"] }],
    });
    return found.accountleads_association.map((lead) => lead.leadid).sort();
  };
  const lookup = async (account) =>
    (await api.retrieve({ collection: "accounts", key: account, select: ["_primarycontactid_value"] }))
      ._primarycontactid_value;

  const cases = {};
  cases.one_link = { ...(await attempt(() => link(accounts[0], leads[0]))), linked: await linked(accounts[0]) };
  cases.duplicate_link = await attempt(() => link(accounts[0], leads[0]));
  cases.missing_record = await attempt(() => link(accounts[0], missing));
  cases.wrong_navigation_property = await attempt(() =>
    link(accounts[0], leads[1], { relationshipName: "AccountLeads_association" }),
  );
  cases.disassociate = {
    ...(await attempt(() =>
      api.disassociate({
        collection: "accounts",
        primaryKey: accounts[0],
        relationshipName: "accountleads_association",
        relatedKey: leads[0],
      }),
    )),
    linked: await linked(accounts[0]),
  };
  cases.hundred_links = {
    ...(await batch(() => leads.slice(0, 100).forEach((lead) => link(accounts[1], lead)))),
    linked: (await linked(accounts[1])).length,
  };
  cases.one_bad_among_five = {
    ...(await batch(() => [...leads.slice(0, 2), missing, ...leads.slice(2, 4)].forEach((l) => link(accounts[2], l)))),
    linked: await linked(accounts[2]),
  };
  cases.continue_on_error = {
    ...(await batch(
      () => {
        [leads[0], missing, leads[1]].forEach((lead) => link(accounts[3], lead));
        between();
        [leads[2], leads[3]].forEach((lead) => link(accounts[3], lead));
      },
      { continueOnError: true },
    )),
    linked: await linked(accounts[3]),
  };
  cases.stop_at_first_failure = {
    ...(await batch(() => {
      link(accounts[4], leads[0]);
      between();
      link(accounts[4], missing);
      between();
      link(accounts[4], leads[1]);
    })),
    linked: await linked(accounts[4]),
  };
  const single = { collection: "accounts", primaryKey: accounts[5], navigationProperty: "primarycontactid" };
  const set = (contact) =>
    api.associateSingleValued({ ...single, relatedCollection: "contacts", relatedKey: contact });
  cases.lookup = { set: await attempt(() => set(contacts[0])), first: await lookup(accounts[5]) };
  cases.lookup.change = await attempt(() => set(contacts[1]));
  cases.lookup.second = await lookup(accounts[5]);
  cases.lookup.clear = await attempt(() => api.disassociateSingleValued(single));
  cases.lookup.third = await lookup(accounts[5]);
  cases.bind_on_create = await attempt(async () => {
    const bound = { name: "Bound", "primarycontactid@odata.bind": `contacts(${contacts[0]})` };
    return lookup(await api.create({ collection: "accounts", data: bound }));
  });
  cases.deep_insert = await attempt(async () => {
    const nested = {
      name: "Deep",
      primarycontactid: { lastname: "Nested" },
      Account_Tasks: [{ subject: "first" }, { subject: "second" }],
    };
    const id = await api.create({ collection: "accounts", data: nested });
    const found = await api.retrieve({
      collection: "accounts",
      key: id,
      select: ["name"],
      expand: [
        { property: "primarycontactid", select: ["lastname"] },
        { property: "Account_Tasks", select: ["subject"] },
      ],
    });
    return [found.primarycontactid.lastname, found.Account_Tasks.map((task) => task.subject).sort()];
  });
  cases.content_id_reference = await batch(() => {
    api.create({ collection: "leads", data: { lastname: "Referred" }, contentId: "1" });
    api.associate({
      collection: "accounts",
      primaryKey: accounts[6],
      relationshipName: "accountleads_association",
      relatedKey: "$1",
    });
  });
  cases.content_id_reference.linked = (await linked(accounts[6])).length;
  cases.thousand_operations = {
    ...(await batch(() => leads.slice(0, 1000).forEach((lead) => link(accounts[7], lead)))),
    linked: (await linked(accounts[7])).length,
  };
  cases.thousand_and_one_operations = {
    ...(await batch(() => leads.slice(0, 1001).forEach((lead) => link(accounts[8], lead)))),
    linked: await linked(accounts[8]),
  };
  cases.no_token = await attempt(() =>
    new DynamicsWebApi(config).retrieve({ collection: "accounts", key: accounts[0] }),
  );
  process.stdout.write(JSON.stringify(cases));
})();
