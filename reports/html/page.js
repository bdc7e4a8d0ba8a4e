// The page itself: helpers, theme, datasets, tables. gallery.js and viewer.js follow in the same scope.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const clamp = (value, low, high) => (low > high ? (low + high) / 2 : Math.min(high, Math.max(low, value)));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const asNumber = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
const show = (value, digits) =>
  value === null || value === undefined ? "–" : value === "inf" ? "∞" : value === "-inf" ? "-∞" : value.toFixed(digits);

// Missing values come last whichever way the order goes.
function compareBy(key, sign) {
  return (a, b) => {
    const x = key(a), y = key(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x < y ? -1 : x > y ? 1 : 0);
  };
}

const press = (buttons, chosen) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));

// ---- theme ----
const root = document.documentElement;
const remembered = (() => { try { return localStorage.getItem("isrbench-theme"); } catch { return null; } })();
if (remembered) root.dataset.theme = remembered;
$("#theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("isrbench-theme", root.dataset.theme); } catch { /* private mode: not remembered */ }
});

// ---- datasets: one at a time; the links in the bar lead to parts of the one that is shown ----
const tabs = $$("[data-tab]");
function showDataset(index) {
  press(tabs, tabs[index]);
  $$(".dataset").forEach((s) => { s.hidden = s.dataset.dataset !== String(index); });
  $$("[data-part]").forEach((link) => { link.hash = `#d${index}-${link.dataset.part}`; });
}
tabs.forEach((tab, index) => tab.addEventListener("click", () => showDataset(index)));
function followHash() {
  const found = /^#d(\d+)-\w+$/.exec(location.hash);
  if (!found || Number(found[1]) >= DATA.length) return;
  showDataset(Number(found[1]));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}
addEventListener("hashchange", followHash);

// ---- tables: what cells show, and sorting ----
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
