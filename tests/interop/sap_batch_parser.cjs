// Reads batch answers with the parser of SAP Cloud SDK (npm @sap-cloud-sdk/odata-common).
//
//   node sap_batch_parser.cjs < {"modules": dir, "answers": [{"headers": {...}, "data": "..."}]}

const path = require("node:path");

const read = async () => {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return JSON.parse(text);
};

(async () => {
  const { modules, answers } = await read();
  const parser = "@sap-cloud-sdk/odata-common/dist/request-builder/batch/batch-response-parser.js";
  const { parseBatchResponse } = require(path.join(modules, parser));
  process.stdout.write(JSON.stringify(answers.map(parseBatchResponse)));
})();
