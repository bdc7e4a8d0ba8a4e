// One image, large: any two versions under a line, and the same spot of all versions beside it.
const viewer = (() => {
  const dialog = $("#viewer"), stage = $(".stage", dialog), a = $("img.a", stage), b = $("img.b", stage);
  const handle = $(".handle", stage), frame = $(".spot", stage), split = $(".split", dialog), zoom = $(".zoom", dialog);
  const pa = $(".pa", dialog), pb = $(".pb", dialog), patches = $(".patches", dialog);
  const said = $(".export code", dialog);
  const MAGNIFY = 2; // how much larger than the stage the patches show their spot
  const COARSE = 2; // CSS pixels a source pixel may cover before it is drawn with its edges
  let gallery = null, list = [], place = 0, versions = [], aspect = 1;
  let centre = { x: 0.5, y: 0.5 }; // of the stage, in parts of the image
  let spot = { x: 0.72, y: 0.5 }; // what the patches show, in parts of the stage

  function versionsOf(image) {
    const found = [{ name: "LR", kind: "lr", src: image.lr[0] }];
    gallery.data.labels.forEach((label, i) => found.push({ name: label, kind: `m${i}`, src: image.out[i][0] }));
    found.push({ name: "HR", kind: "hr", src: image.hr[0] });
    return found.filter((v) => v.src);
  }

  // from: a gallery; images: those that the arrows go through; view: what a link asks for, see state().
  function open(from, images, index, view = {}) {
    if (gallery !== from) pa.replaceChildren(), pb.replaceChildren(); // choices belong to a dataset
    gallery = from;
    list = [...images];
    dialog.returnFocus = document.activeElement;
    if (!dialog.open) dialog.showModal();
    root.classList.add("locked");
    spot = { x: 0.72, y: 0.5 };
    wholeImage();
    if (view.spot) spot = view.spot;
    for (const [select, name] of [[pa, view.left], [pb, view.right]]) {
      if (name) Object.assign(select.dataset, { kind: kindOf(name), of: gallery.data.dataset });
    }
    split.value = String(view.line ?? split.value);
    load(index);
    if (view.zoom) zoom.value = String(view.zoom), centre = view.centre ?? centre, arrange();
  }

  // What a link says of the view: names, not places, so that it outlives a report with one method more.
  function state() {
    const name = (select) => versions[select.value]?.name ?? "";
    return {
      set: gallery.data.dataset, image: list[place].name, left: name(pa), right: name(pb), zoom: Number(zoom.value),
      centre: { ...centre }, spot: { ...spot }, line: Number(split.value),
    };
  }

  const kindOf = (name) => {
    const method = gallery.data.labels.indexOf(name);
    return method >= 0 ? `m${method}` : name.toLowerCase();
  };

  function wholeImage() {
    centre = { x: 0.5, y: 0.5 };
    zoom.value = 1;
  }

  // The baseline against the chosen method, or LR against the baseline itself. What was chosen stays from image to image.
  function fallbacks() {
    const place = (kind) => versions.findIndex((v) => v.kind === kind);
    const { baseline } = gallery.data, method = Number(gallery.method.value);
    const left = baseline !== null && baseline !== method ? place(`m${baseline}`) : -1;
    let right = place(`m${method}`);
    if (right < 0) right = versions.findLastIndex((v, i) => v.kind.startsWith("m") && i !== left);
    return [Math.max(left, 0), right >= 0 ? right : versions.length - 1];
  }

  function load(index) {
    place = (index + list.length) % list.length;
    const image = list[place];
    versions = versionsOf(image);
    const kinds = versions.map((v) => v.kind), fallback = fallbacks();
    [pa, pb].forEach((select, side) => {
      const kept = kinds.indexOf(select.dataset.kind);
      select.replaceChildren(...versions.map((v, i) => make("option", { value: i, textContent: v.name })));
      select.value = String(kept >= 0 && select.dataset.of === gallery.data.dataset ? kept : fallback[side]);
    });
    $("#viewer-name").textContent = image.name;
    patches.replaceChildren(...versions.map((v, i) => {
      const img = make("img", { src: v.src, alt: "", draggable: false });
      img.addEventListener("load", arrange);
      const patch = make("button", { type: "button", className: "patch", title: "Show on the right (with Shift: on the left)" },
        make("span", { className: "crop" }, img), make("span", { className: "name", textContent: v.name }));
      patch.addEventListener("click", (e) => choose(e.shiftKey ? pa : pb, i));
      return patch;
    }));
    table(image);
    pick();
  }

  function choose(select, index) {
    select.value = String(index);
    remember(select);
    pick();
  }

  function remember(select) {
    select.dataset.kind = versions[select.value]?.kind ?? "";
    select.dataset.of = gallery.data.dataset;
  }

  function table(image) {
    const metrics = gallery.data.metrics;
    const head = make("tr", {}, make("th", { textContent: "Method" }), ...metrics.map((m) => make("th", { textContent: m.heading })));
    const routed = image.active.some((v) => v !== null);
    if (routed) head.append(make("th", { textContent: "Active experts" }));
    const rows = gallery.data.labels.map((label, i) => {
      const cells = metrics.map((m) => {
        const all = image.values[m.id].map(asNumber).filter((v) => v !== null);
        const best = m.higher ? Math.max(...all) : Math.min(...all);
        const value = image.values[m.id][i];
        return make("td", { textContent: show(value, m.decimals), className: value !== null && asNumber(value) === best ? "top" : "" });
      });
      if (routed) cells.push(make("td", { textContent: show(image.active[i], 2) }));
      return make("tr", {}, make("th", { textContent: label, title: label }), ...cells);
    });
    $("table", dialog).replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    const box = $(".right .scroll", dialog);
    $(".right", dialog).classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
    const facts = [];
    if (image.severity !== null) facts.push(`severity ${image.severity.toFixed(3)}`);
    if (image.level) facts.push(`level ${image.level}`);
    gallery.data.dimensions.forEach((d, i) => { if (image.dims[i] !== null) facts.push(`${d} ${image.dims[i].toFixed(2)}`); });
    $(".facts-line", dialog).textContent = facts.join(" · ");
  }

  function pick() {
    const left = versions[pa.value], right = versions[pb.value];
    for (const [img, version] of [[a, left], [b, right]]) {
      img.hidden = !version;
      if (version) img.src = version.src; else img.removeAttribute("src");
      img.alt = version ? version.name : "";
    }
    $(".nothing", stage).hidden = versions.length > 0;
    $(".ta", stage).textContent = left ? left.name : "";
    $(".tb", stage).textContent = right ? right.name : "";
    [...patches.children].forEach((p, i) => p.classList.toggle("chosen", i === Number(pa.value) || i === Number(pb.value)));
    arrange();
  }

  // Everything that depends on zoom, place, line and sizes. One transform for every version: the same spot everywhere.
  function arrange() {
    const z = Number(zoom.value), at = Number(split.value), half = 0.5 / z;
    centre = { x: clamp(centre.x, half, 1 - half), y: clamp(centre.y, half, 1 - half) };
    const left = centre.x - half, top = centre.y - half;
    a.style.transform = b.style.transform = `scale(${z}) translate(${-100 * left}%, ${-100 * top}%)`;
    handle.style.left = `${at}%`;
    // The line is a place on the stage; the clip belongs to the moved image.
    a.style.clipPath = `inset(0 ${100 * (1 - left - (at / 100) / z)}% 0 0)`;
    changed();
    const width = stage.clientWidth, height = stage.clientHeight;
    for (const img of [a, b]) coarse(img, (width * z) / img.naturalWidth);
    const crop = $(".crop", patches);
    frame.hidden = !crop || !width;
    if (frame.hidden) return;
    const side = crop.clientWidth, seen = side / MAGNIFY; // the frame's side on the stage
    const u = clamp(spot.x * width, seen / 2, width - seen / 2), v = clamp(spot.y * height, seen / 2, height - seen / 2);
    Object.assign(frame.style, { width: `${seen}px`, height: `${seen}px`, left: `${u - seen / 2}px`, top: `${v - seen / 2}px` });
    const scale = (MAGNIFY * width * z) / side; // the image is as wide as the patch before it is scaled
    const x = (left + u / width / z) * side * scale - side / 2, y = (top + v / height / z) * (side / aspect) * scale - side / 2;
    said.textContent = command(left + u / width / z, top + v / height / z, seen / width / z);
    for (const img of $$(".crop img", patches)) {
      img.style.aspectRatio = String(aspect);
      img.style.transform = `translate(${-x}px, ${-y}px) scale(${scale})`;
      coarse(img, (side * scale) / img.naturalWidth);
    }
  }

  // The command that draws the framed spot as a figure for a paper; a box is in pixels of the largest version.
  function command(x, y, share) {
    const sizes = $$(".crop img", patches).map((img) => [img.naturalWidth, img.naturalHeight]);
    const wide = Math.max(...sizes.map((s) => s[0])), high = Math.max(...sizes.map((s) => s[1]));
    const side = clamp(Math.round(share * wide), 1, Math.min(wide, high));
    const left = clamp(Math.round(x * wide - side / 2), 0, wide - side), top = clamp(Math.round(y * high - side / 2), 0, high - side);
    const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    const { name } = list[place], out = `${name.replace(/[^\w.-]+/g, "-")}.pdf`;
    return `isrbench figure ${gallery.data.runs.join(" ")} --dataset ${quote(gallery.data.dataset)} --images ${quote(name)} --box ${left},${top},${side} --out ${quote(out)}`;
  }
  $(".export button", dialog).addEventListener("click", (e) => {
    said.hidden = false; // to be selected where nothing can be copied
    copyText(said.textContent, e.currentTarget);
  });

  const coarse = (img, size) => img.classList.toggle("pixel", Number.isFinite(size) && size > COARSE);

  b.addEventListener("load", () => {
    aspect = b.naturalWidth / b.naturalHeight;
    stage.style.setProperty("--aspect", String(aspect));
    arrange();
  });
  a.addEventListener("load", arrange);
  addEventListener("resize", () => { if (dialog.open) arrange(); });
  for (const input of [split, zoom]) input.addEventListener("input", arrange);
  for (const select of [pa, pb]) select.addEventListener("change", () => { remember(select); pick(); });
  $(".prev", dialog).addEventListener("click", () => load(place - 1));
  $(".next", dialog).addEventListener("click", () => load(place + 1));
  $(".close", dialog).addEventListener("click", () => dialog.close());
  $(".copy-link", dialog).addEventListener("click", (e) => copyText(permalink(state()), e.currentTarget));
  // The address follows what is seen, once it has come to rest.
  let resting = 0;
  function changed() {
    clearTimeout(resting);
    resting = setTimeout(() => { if (dialog.open) setHash(new URL(permalink(state())).hash); }, 120);
  }
  dialog.addEventListener("close", () => setHash(`#d${galleries.indexOf(gallery)}-gallery`));
  dialog.addEventListener("close", () => { root.classList.remove("locked"); dialog.returnFocus?.focus(); });
  // Selecting text may end outside: only what begins outside closes.
  let pressedOutside = false;
  dialog.addEventListener("pointerdown", (e) => { pressedOutside = e.target === dialog && e.button === 0; });
  dialog.addEventListener("click", (e) => { if (e.target === dialog && pressedOutside) dialog.close(); });

  const positionOf = (e) => {
    const box = stage.getBoundingClientRect();
    return { x: (e.clientX - box.left) / box.width, y: (e.clientY - box.top) / box.height };
  };
  function drag(e, from) {
    const now = positionOf(e), z = Number(zoom.value);
    if (from.what === "line") split.value = String(clamp(100 * now.x, 0, 100));
    else if (from.what === "spot") spot = { x: clamp(now.x, 0, 1), y: clamp(now.y, 0, 1) };
    else centre = { x: from.centre.x - (now.x - from.at.x) / z, y: from.centre.y - (now.y - from.at.y) / z };
    arrange();
  }
  let dragged = null;
  stage.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return; // the right button asks for the menu
    const what = e.target === frame ? "spot" : e.target === handle || Number(zoom.value) === 1 ? "line" : "image";
    dragged = { what, at: positionOf(e), centre: { ...centre } };
    stage.setPointerCapture(e.pointerId);
    if (what === "line") drag(e, dragged);
  });
  stage.addEventListener("pointermove", (e) => { if (dragged) drag(e, dragged); });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { dragged = null; });

  // Zoom so that the place at (u, v) of the stage stays where it is.
  function zoomBy(factor, u = 0.5, v = 0.5) {
    const before = Number(zoom.value);
    zoom.value = String(clamp(before * factor, 1, 12));
    const after = Number(zoom.value);
    centre = { x: centre.x + (u - 0.5) * (1 / before - 1 / after), y: centre.y + (v - 0.5) * (1 / before - 1 / after) };
    arrange();
  }
  stage.addEventListener("wheel", (e) => {
    e.preventDefault();
    const { x, y } = positionOf(e);
    zoomBy(e.deltaY < 0 ? 1.25 : 0.8, x, y);
  }, { passive: false });

  // Keys that no keyboard layout hides behind AltGr; [ and ] do the same on keyboards that have them.
  const moveLine = (by) => { split.value = String(Number(split.value) + by); arrange(); };
  const KEYS = {
    n: () => load(place + 1), p: () => load(place - 1), ",": () => moveLine(-5), ".": () => moveLine(5),
    "[": () => moveLine(-5), "]": () => moveLine(5), "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8),
    0: () => { wholeImage(); arrange(); },
  };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  dialog.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("select")) return;
    const arrow = ARROWS[e.key], z = Number(zoom.value);
    if (arrow && e.target.matches("input")) return; // arrows move the slider that has the focus
    if (arrow && z > 1) centre = { x: centre.x + arrow[0] * 0.15 / z, y: centre.y + arrow[1] * 0.15 / z };
    else if (arrow && arrow[0]) load(place + arrow[0]);
    else if (KEYS[e.key.toLowerCase()]) KEYS[e.key.toLowerCase()]();
    else return;
    e.preventDefault();
    arrange();
  });
  return { open, state, command };
})();
