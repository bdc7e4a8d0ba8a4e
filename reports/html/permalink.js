// Links: to a part of the page (#d0-plots), and to a view of an image (#view?set=...&image=...&left=...&zoom=...).
function permalink(view) {
  const pair = (at) => `${at.x.toFixed(3)},${at.y.toFixed(3)}`;
  const facts = { set: view.set, image: view.image, left: view.left, right: view.right };
  if (view.zoom > 1) Object.assign(facts, { zoom: view.zoom.toFixed(2), at: pair(view.centre) });
  Object.assign(facts, { spot: pair(view.spot), line: view.line.toFixed(1) });
  return `${location.href.replace(/#.*/, "")}#view?${new URLSearchParams(facts)}`;
}

function setHash(hash) {
  try { history.replaceState(null, "", hash); } catch { /* a browser that forbids it for pages from disk */ }
}

function viewOf(hash) {
  const facts = new URLSearchParams(hash.slice("#view?".length));
  const number = (name, low, high) => {
    const value = parseFloat(facts.get(name));
    return Number.isFinite(value) ? clamp(value, low, high) : undefined;
  };
  const pair = (name) => {
    const [x, y] = (facts.get(name) ?? "").split(",").map(parseFloat);
    return Number.isFinite(x) && Number.isFinite(y) ? { x: clamp(x, 0, 1), y: clamp(y, 0, 1) } : undefined;
  };
  return {
    set: facts.get("set"), image: facts.get("image"), left: facts.get("left"), right: facts.get("right"),
    zoom: number("zoom", 1, 12), centre: pair("at"), spot: pair("spot"), line: number("line", 0, 100),
  };
}

async function followView(hash) {
  const view = viewOf(hash), index = DATA.findIndex((data) => data.dataset === view.set);
  if (index < 0) return;
  showDataset(index);
  const gallery = await galleries[index].whole;
  const listed = (images) => images.findIndex((image) => image.name === view.image);
  const images = listed(gallery.shown) >= 0 ? gallery.shown : gallery.images.filter(Boolean); // a filter may hide it
  if (listed(images) >= 0) viewer.open(gallery, images, listed(images), view);
}

function followHash() {
  const { hash } = location;
  if (hash.startsWith("#view?")) return void followView(hash);
  const found = /^#d(\d+)-\w+$/.exec(hash);
  if (!found || Number(found[1]) >= DATA.length) return;
  showDataset(Number(found[1]));
  document.getElementById(hash.slice(1))?.scrollIntoView();
}
addEventListener("hashchange", followHash);

// ---- all is known: begin ----
window.isrbench = { rows: (number, start, rows) => galleries[number].take(start, rows) };
galleries.push(...$$(".dataset").map((section, i) => new Gallery(section, DATA[i])));
showDataset(0);
followHash();
hints();
