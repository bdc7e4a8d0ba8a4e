// Tables: what cells show, sorting, copying, printing.
for (const summary of $$(".summary")) {
  const buttons = $$("button[data-show]", summary);
  buttons.forEach((b) => b.addEventListener("click", () => { press(buttons, b); summary.dataset.show = b.dataset.show; }));
}

function cellKey(row, column) {
  const cell = row.children[column];
  if (column === 0) return cell.textContent.trim().toLowerCase();
  const number = parseFloat(cell.dataset.value.replace("inf", "Infinity"));
  return Number.isNaN(number) ? null : number;
}
for (const table of $$("table.scores")) {
  const heads = $$("thead th", table);
  heads.forEach((head, column) => $("button", head).addEventListener("click", () => {
    const before = head.getAttribute("aria-sort");
    const first = $("button", head).dataset.first || "ascending";
    const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
    heads.forEach((h) => h.setAttribute("aria-sort", h === head ? order : "none"));
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compareBy((row) => cellKey(row, column), order === "ascending" ? 1 : -1)));
  }));
}

// A wide table says so where its end is out of sight.
const hints = () => $$(".group").forEach((group) => {
  const box = $(".scroll", group);
  group.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
});
addEventListener("resize", hints);
$$(".summary").forEach((summary) => summary.addEventListener("click", () => requestAnimationFrame(hints)));
tabs.forEach((tab) => tab.addEventListener("click", hints));

$$("button.copy-latex").forEach((button) => button.addEventListener("click", () => {
  copyText($("template.latex", button.closest(".group")).content.textContent, button);
}));

// Paper does not scroll: a table that is too wide for it is made smaller until all its columns are there.
const PAPER = 980; // CSS pixels: A4, landscape, within its margins and those of a table
addEventListener("beforeprint", () => $$(".scroll > table").forEach((table) => {
  table.style.zoom = "";
  if (table.scrollWidth > PAPER) table.style.zoom = String(PAPER / table.scrollWidth);
}));
addEventListener("afterprint", () => $$(".scroll > table").forEach((table) => { table.style.zoom = ""; }));
