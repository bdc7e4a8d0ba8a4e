// The leaderboard: one board for each choice of sets and metrics, computed when the report was made; here it is shown.
const BOARDS = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const scope = $("#scope"), group = $("#group"), filter = $("#filter");
const table = $(".board");
let order = null; // {key, sign} of the column that was asked for; null = by rank

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---- theme: the report's own ----
const root = document.documentElement;
const remembered = (() => { try { return localStorage.getItem("isrbench-theme"); } catch { return null; } })();
if (remembered) root.dataset.theme = remembered;
$("#theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("isrbench-theme", root.dataset.theme); } catch { /* private mode: not remembered */ }
});

// ---- columns: (heading, value of a row, first direction, class) ----
function columns(board) {
  return [
    { title: "Method", key: (row) => row.method, first: 1 },
    { title: "Mean rank ↓", key: (row) => row.rank, first: 1 },
    { title: "95% interval", key: (row) => row.low, first: 1, span: true },
    ...board.columns.map(([title, higher], place) => ({ title, key: (row) => row.places[place][1], first: higher ? -1 : 1 })),
  ];
}

// Missing values come last whichever way the order goes.
function sorted(rows, key, sign) {
  return [...rows].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
  });
}

function whisker(row, last) {
  const at = (rank) => `${(100 * (rank - 1)) / Math.max(last - 1, 1)}%`;
  const bar = make("i"), dot = make("b");
  bar.style.left = at(row.low);
  bar.style.right = `calc(100% - ${at(row.high)})`;
  dot.style.left = at(row.rank);
  const ends = make("span", { className: "ends", textContent: `${row.low.toFixed(2)} – ${row.high.toFixed(2)}` });
  return [make("span", { className: "whisker" }, bar, dot), ends];
}

function line(board, row, ranked) {
  const number = row.rank === null ? "–" : String(1 + ranked.filter((other) => other.rank < row.rank).length);
  const cells = [make("td", { textContent: number }), make("th", { scope: "row", textContent: row.method })];
  if (row.rank === null) {
    cells.push(make("td", { className: "why", colSpan: 2, textContent: row.reason }));
  } else {
    cells.push(make("td", { textContent: row.rank.toFixed(2) }));
    cells.push(make("td", { className: "span" }, ...whisker(row, ranked.length)));
  }
  row.places.forEach(([text, value, rank], place) => {
    // A mean has its rank beside it; a mean rank is one itself.
    const lead = rank ?? value, first = Math.min(...board.rows.map((r) => r.places[place][2] ?? r.places[place][1] ?? Infinity));
    const cell = make("td", { className: lead !== null && lead === first ? "first" : "" }, text);
    if (rank !== null) cell.append(make("small", { textContent: `#${Number.isInteger(rank) ? rank : rank.toFixed(1)}`, title: "rank by this mean" }));
    cells.push(cell);
  });
  return make("tr", {}, ...cells);
}

function show() {
  const board = BOARDS.find((b) => b.scope === scope.value && b.group === group.value);
  for (const option of group.options) {
    option.disabled = !BOARDS.some((b) => b.scope === scope.value && b.group === option.value);
  }
  if (!board) {
    group.value = "all";
    return show();
  }
  const heads = columns(board);
  if (order && order.column >= heads.length) order = null;
  const head = make("tr", {}, make("th", { scope: "col", textContent: "#" }));
  heads.forEach((column, place) => {
    const current = order ? order.column === place : place === 1;
    const sign = order ? order.sign : 1;
    const cell = make("th", { scope: "col", className: column.span ? "span" : "" });
    cell.setAttribute("aria-sort", !current ? "none" : sign > 0 ? "ascending" : "descending");
    const button = make("button", { type: "button", textContent: column.title });
    button.addEventListener("click", () => {
      order = { column: place, sign: current ? -sign : column.first };
      show();
    });
    cell.append(button);
    head.append(cell);
  });
  table.tHead.replaceChildren(head);
  const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const kept = board.rows.filter((row) => words.every((word) => row.method.toLowerCase().includes(word)));
  const ranked = board.rows.filter((row) => row.rank !== null);
  const rows = order ? sorted(kept, heads[order.column].key, order.sign) : kept;
  table.tBodies[0].replaceChildren(...rows.map((row) => line(board, row, ranked)));
  $(".count").textContent = kept.length < board.rows.length ? `${kept.length} of ${board.rows.length} methods` : `${board.rows.length} methods`;
  const over = board.metrics.length ? `Ranked by ${board.metrics.join(", ")}.` : "";
  const left = board.leftOut.length ? ` Not by ${board.leftOut.join(", ")}: some ranked method has no finite mean of it.` : "";
  $("#over").textContent = over + left;
  history.replaceState(null, "", `#${new URLSearchParams({ set: scope.value, metrics: group.value, methods: filter.value })}`);
  hint();
}

// A wide table says so where its end is out of sight.
function hint() {
  const box = $(".scroll");
  box.parentElement.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
}
addEventListener("resize", hint);

// ---- a link leads to the same choice ----
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const [select, name] of [[scope, "set"], [group, "metrics"]]) {
    const wanted = asked.get(name);
    if ([...select.options].some((option) => option.value === wanted)) select.value = wanted;
  }
  filter.value = asked.get("methods") ?? "";
}
follow();
show();
addEventListener("hashchange", () => { follow(); show(); });
scope.addEventListener("change", () => { order = null; show(); });
group.addEventListener("change", () => { order = null; show(); });
filter.addEventListener("input", show);
