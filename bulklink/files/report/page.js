(() => {
  "use strict";
  const table = document.getElementById("rows");
  if (!table) return;
  const [form, text, outcome, code, said] = ["filter", "f-text", "f-outcome", "f-code", "f-said"].map((id) => document.getElementById(id));
  const inside = (row, selector) => row.querySelector(selector)?.textContent ?? "";
  const rows = Array.from(table.tBodies[0].rows, (row) => ({
    row,
    text: Array.from(row.cells, (cell) => cell.textContent.toLowerCase()).join(" "),
    outcome: inside(row, ".chip"),
    code: inside(row, "code"),
  }));
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of rows) {
      const fits =
        (!outcome.value || one.outcome === outcome.value) &&
        (!code.value || one.code === code.value) &&
        words.every((word) => one.text.includes(word));
      one.row.hidden = !fits;
      shown += fits;
    }
    said.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows shown`;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  form.hidden = false;
  apply();
})();
