// The page itself: helpers, theme, datasets. The other scripts follow in the same scope.
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

// ---- copying: what a button copied is said in its place for a moment ----
async function copyText(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or an old browser: a selection can still be copied
    const area = make("textarea", { value: text, className: "offscreen" });
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const before = button.dataset.says ?? button.textContent;
  button.dataset.says = before;
  button.textContent = done ? "Copied" : "Not copied: the browser forbids it";
  clearTimeout(button.timer);
  button.timer = setTimeout(() => { button.textContent = before; }, 1600);
}

// ---- datasets: one at a time; the links in the bar lead to parts of the one that is shown ----
const tabs = $$("[data-tab]");
const galleries = []; // filled at the end, when Gallery is known
function showDataset(index) {
  press(tabs, tabs[index]);
  $$(".dataset").forEach((s) => { s.hidden = s.dataset.dataset !== String(index); });
  $$("[data-part]").forEach((link) => { link.hash = `#d${index}-${link.dataset.part}`; });
  galleries[index]?.load();
}
tabs.forEach((tab, index) => tab.addEventListener("click", () => showDataset(index)));
