// The page for voting. What is asked in which order follows from the voter's number; what was answered stays in this browser.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const sides = [$(".a img"), $(".b img")], stages = [...document.querySelectorAll(".stage")];
const answers = [...document.querySelectorAll(".answer")];
const STORED = `isrbench-vote-${DATA.ballot}`;

// ---- what was answered ----
const session = (() => {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED));
    if (kept && typeof kept.voter === "string" && Array.isArray(kept.votes)) return kept;
  } catch { /* nothing kept, or a browser that keeps nothing */ }
  const voter = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { voter, votes: [] };
})();
function keep() {
  try { localStorage.setItem(STORED, JSON.stringify(session)); } catch { /* private mode: kept until the page closes */ }
}

// ---- what is asked: begun at a round of the voter's own, each round and each pair in random order ----
// mulberry32: small, and the same in every browser.
function randomFrom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const random = randomFrom(parseInt(session.voter.slice(0, 8), 16) | 0);
const start = Math.floor(random() * DATA.rounds.length);
const asked = DATA.rounds.flatMap((_, i) => {
  const round = [...DATA.rounds[(start + i) % DATA.rounds.length]];
  for (let last = round.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [round[last], round[other]] = [round[other], round[last]];
  }
  return round.map(([image, one, two]) => ({ image, shown: random() < 0.5 ? [one, two] : [two, one] }));
});

// ---- one question ----
const fileOf = (name) => `images/${name}.webp`;
const inputOf = (image) => fileOf(`in-${String(image).padStart(3, "0")}`);
let since = 0, waiting = 0, view = { z: 1, x: 0.5, y: 0.5 };

function ask() {
  const place = session.votes.length, question = asked[place];
  $(".progress").textContent = `${place} vote${place === 1 ? "" : "s"} · ${asked.length - place} more can be asked; stop whenever you like`;
  for (const selector of [".undo", ".download"]) $(selector).disabled = place === 0;
  $(".done").hidden = Boolean(question);
  for (const part of [$("main"), $(".answers"), $(".help")]) part.hidden = !question;
  if (!question) {
    $(".done").textContent = "That was all, thank you. Download your votes and send the file to whoever asked you.";
    return;
  }
  view = { z: 1, x: 0.5, y: 0.5 };
  const mine = (waiting += 1);
  answers.forEach((button) => { button.disabled = true; });
  sides.forEach((img, side) => { img.src = fileOf(question.shown[side]); });
  Promise.all(sides.map((img) => img.decode().catch(() => null))).then(() => {
    if (mine !== waiting) return; // another question came meanwhile
    stages.forEach((stage) => stage.style.setProperty("--aspect", String(sides[0].naturalWidth / sides[0].naturalHeight || 1)));
    answers.forEach((button) => { button.disabled = false; });
    since = performance.now();
    arrange();
    for (const next of asked.slice(place + 1, place + 3)) next.shown.forEach((name) => { new Image().src = fileOf(name); });
    new Image().src = inputOf(question.image);
  });
}

function answer(choice) {
  if (answers[0].disabled || !asked[session.votes.length]) return;
  const { shown } = asked[session.votes.length];
  session.votes.push({
    shown, choice: { a: "first", b: "second", tie: "tie" }[choice], seconds: Math.round((performance.now() - since) / 10) / 100,
    time: new Date().toISOString(),
  });
  keep();
  ask();
}

function undo() {
  if (!session.votes.length) return;
  session.votes.pop();
  keep();
  ask();
}

function download() {
  const { format, dataset, ballot } = DATA;
  const text = JSON.stringify({ format, dataset, ballot, voter: session.voter, votes: session.votes }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `votes-${dataset.replace(/[^A-Za-z0-9]+/g, "-")}-${session.voter}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

answers.forEach((button) => button.addEventListener("click", () => answer(button.dataset.choice)));
$(".undo").addEventListener("click", undo);
$(".download").addEventListener("click", download);

// ---- the input in place of both, as long as somebody holds the button or the key ----
function peek(on) {
  const question = asked[session.votes.length];
  if (!question || document.body.classList.contains("seen") === on) return;
  document.body.classList.toggle("seen", on);
  sides.forEach((img, side) => { img.src = on ? inputOf(question.image) : fileOf(question.shown[side]); });
}
$(".input").addEventListener("pointerdown", () => peek(true));
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => peek(false));

// ---- one view for both ----
function arrange() {
  const half = 0.5 / view.z;
  view.x = Math.min(1 - half, Math.max(half, view.x));
  view.y = Math.min(1 - half, Math.max(half, view.y));
  sides.forEach((img) => {
    img.style.transform = `scale(${view.z}) translate(${-100 * (view.x - half)}%, ${-100 * (view.y - half)}%)`;
    img.classList.toggle("pixel", (img.clientWidth * view.z) / img.naturalWidth > 4 && !document.body.classList.contains("seen"));
  });
}
function zoomBy(factor, u = 0.5, v = 0.5) {
  const before = view.z;
  view.z = Math.min(12, Math.max(1, before * factor));
  view.x += (u - 0.5) * (1 / before - 1 / view.z);
  view.y += (v - 0.5) * (1 / before - 1 / view.z);
  arrange();
}
for (const stage of stages) {
  let held = null;
  const at = (e) => {
    const box = stage.getBoundingClientRect();
    return [(e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height];
  };
  stage.addEventListener("wheel", (e) => { e.preventDefault(); zoomBy(e.deltaY < 0 ? 1.25 : 0.8, ...at(e)); }, { passive: false });
  stage.addEventListener("pointerdown", (e) => { held = [...at(e), view.x, view.y]; stage.setPointerCapture(e.pointerId); });
  stage.addEventListener("pointermove", (e) => {
    if (!held) return;
    const [x, y] = at(e);
    Object.assign(view, { x: held[2] - (x - held[0]) / view.z, y: held[3] - (y - held[1]) / view.z });
    arrange();
  });
  stage.addEventListener("dblclick", (e) => { if (view.z > 1) zoomBy(1 / view.z); else zoomBy(3, ...at(e)); });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { held = null; });
}

const KEYS = {
  ArrowLeft: () => answer("a"), ArrowRight: () => answer("b"), ArrowDown: () => answer("tie"), Backspace: undo,
  "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: () => { view = { z: 1, x: 0.5, y: 0.5 }; arrange(); },
};
addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
  if (e.key.toLowerCase() === "i") peek(true);
  else if (KEYS[e.key]) { KEYS[e.key](); e.preventDefault(); }
});
addEventListener("keyup", (e) => { if (e.key.toLowerCase() === "i") peek(false); });
addEventListener("resize", arrange);
ask();
