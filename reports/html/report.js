"use strict";
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

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

  // ---- theme ----
  const root = document.documentElement;
  const remembered = (() => { try { return localStorage.getItem("isrbench-theme"); } catch { return null; } })();
  if (remembered) root.dataset.theme = remembered;
  $("#theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("isrbench-theme", root.dataset.theme); } catch { /* private mode: not remembered */ }
  });

  // ---- tabs ----
  const press = (buttons, chosen) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));
  const tabs = $$("[data-tab]");
  tabs.forEach((tab) => tab.addEventListener("click", () => {
    press(tabs, tab);
    $$(".dataset").forEach((s) => { s.hidden = s.dataset.dataset !== tab.dataset.tab; });
  }));

  // ---- sortable tables ----
  function cellKey(row, column) {
    const text = row.children[column].textContent.replace("∞", "Infinity").trim();
    if (column === 0) return text.toLowerCase();
    const number = parseFloat(text);
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

  // ---- gallery ----
  class Gallery {
    constructor(section, data) {
      this.section = section;
      this.data = data;
      this.group = 0;
      this.sign = -1;
      this.box = $(".gallery", section);
      this.sort = $(".sort", section);
      this.metric = $(".metric", section);
      this.method = $(".method", section);
      const hasSeverity = data.images.some((i) => i.severity !== null);
      const sorts = [["name", "name"]];
      if (hasSeverity) sorts.unshift(["severity", "severity"]);
      if (data.metrics.length) sorts.push(["value", "metric value"]);
      if (data.metrics.length && data.labels.length > 1) sorts.push(["spread", "where methods differ most"]);
      if (data.images.some((i) => i.active.some((a) => a !== null))) sorts.push(["active", "active experts"]);
      this.sort.append(...sorts.map(([value, text]) => make("option", { value, textContent: text })));
      this.metric.append(...data.metrics.map((m, i) => make("option", { value: i, textContent: m.title })));
      this.method.append(...data.labels.map((l, i) => make("option", { value: i, textContent: l })));
      for (const control of [this.sort, this.metric, this.method]) control.addEventListener("change", () => this.draw());
      const order = $(".order", section);
      order.addEventListener("click", () => { this.sign = -this.sign; order.textContent = this.sign < 0 ? "↓" : "↑"; this.draw(); });
      const groups = $$("button[data-group]", section);
      groups.forEach((b) => b.addEventListener("click", () => {
        press(groups, b);
        this.group = Number(b.dataset.group);
        $$("div.group", section).forEach((g) => { g.hidden = g.dataset.group !== b.dataset.group; });
        this.draw();
      }));
      this.draw();
    }

    values(image) {
      const metric = this.data.metrics[this.metric.value];
      return metric ? image.values[metric.id].map(asNumber) : [];
    }

    key(image) {
      const method = Number(this.method.value);
      if (this.sort.value === "severity") return image.severity;
      if (this.sort.value === "value") return this.values(image)[method] ?? null;
      if (this.sort.value === "active") return image.active[method] ?? Math.max(...image.active.map((a) => a ?? -1));
      if (this.sort.value === "spread") {
        const known = this.values(image).filter((v) => v !== null && Number.isFinite(v));
        return known.length > 1 ? Math.max(...known) - Math.min(...known) : null;
      }
      return image.name;
    }

    draw() {
      const inGroup = this.group ? new Set(this.data.strata[this.group - 1].images) : null;
      const chosen = this.data.images.map((image, place) => ({ image, place })).filter((x) => !inGroup || inGroup.has(x.place));
      const sign = this.sort.value === "name" ? -this.sign : this.sign;
      this.shown = chosen.sort(compareBy((x) => this.key(x.image), sign)).map((x) => x.image);
      this.box.replaceChildren(...this.shown.map((image, place) => this.card(image, place)));
      $(".count", this.section).textContent = `${this.shown.length} image${this.shown.length === 1 ? "" : "s"}`;
    }

    card(image, place) {
      const metric = this.data.metrics[this.metric.value];
      const picture = make("img", { loading: "lazy", decoding: "async", alt: "", width: 240, height: 240 });
      if (image.thumb) picture.src = image.thumb;
      const lines = [make("b", { textContent: image.name, title: image.name })];
      if (metric) {
        const value = image.values[metric.id][this.method.value];
        lines.push(make("span", { textContent: `${metric.title} ${show(value, metric.decimals)}` }));
      }
      if (image.severity !== null) {
        const bar = make("i");
        const percent = clamp(100 * image.severity, 1, 100);
        bar.style.width = `${percent}%`;
        bar.style.setProperty("--full", `${10000 / percent}%`);
        const words = image.level ? `severity ${image.severity.toFixed(2)}, ${image.level}` : `severity ${image.severity.toFixed(2)}`;
        lines.push(make("span", { textContent: words }), make("div", { className: "meter" }, bar));
      }
      const button = make("button", { type: "button", className: "shot" }, picture, make("span", { className: "t" }, ...lines));
      button.addEventListener("click", () => viewer.open(this, place));
      return button;
    }
  }

  // ---- viewer ----
  const viewer = (() => {
    const dialog = $("#viewer"), stage = $(".stage", dialog), a = $("img.a", stage), b = $("img.b", stage);
    const handle = $(".handle", stage), split = $(".split", dialog), zoom = $(".zoom", dialog);
    const pa = $(".pa", dialog), pb = $(".pb", dialog), patches = $(".patches", dialog);
    let gallery = null, place = 0, versions = [], centre = { x: 0.5, y: 0.5 };

    function versionsOf(image) {
      const found = [{ name: "LR", src: image.lr, pixel: true }];
      gallery.data.labels.forEach((label, i) => found.push({ name: label, src: image.out[i], method: i }));
      found.push({ name: "HR", src: image.hr });
      return found.filter((v) => v.src);
    }

    function open(from, index) {
      gallery = from;
      dialog.returnFocus = document.activeElement;
      if (!dialog.open) dialog.showModal();
      centre = { x: 0.5, y: 0.5 };
      zoom.value = 1;
      load(index);
    }

    function load(index) {
      place = (index + gallery.shown.length) % gallery.shown.length;
      const image = gallery.shown[place];
      const kept = [pa.selectedOptions[0]?.textContent, pb.selectedOptions[0]?.textContent];
      versions = versionsOf(image);
      const names = versions.map((v) => v.name);
      for (const [select, wanted, fallback] of [[pa, kept[0], 0], [pb, kept[1], Math.max(0, versions.length - 2)]]) {
        select.replaceChildren(...names.map((n, i) => make("option", { value: i, textContent: n })));
        select.value = String(names.indexOf(wanted) >= 0 ? names.indexOf(wanted) : fallback);
      }
      $("#viewer-name").textContent = image.name;
      patches.replaceChildren(...versions.map((v, i) => {
        const picture = make("img", { src: v.src, alt: "", draggable: false, className: v.pixel ? "pixel" : "" });
        const patch = make("button", { type: "button", className: "patch", title: "Show on the right (with Shift: on the left)" },
          make("div", { className: "crop" }, picture), make("span", { textContent: v.name }));
        patch.addEventListener("click", (e) => { (e.shiftKey ? pa : pb).value = String(i); pick(); });
        return patch;
      }));
      table(image);
      pick();
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
        return make("tr", {}, make("th", { textContent: label }), ...cells);
      });
      $("table", dialog).replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
      const facts = [];
      if (image.severity !== null) facts.push(`severity ${image.severity.toFixed(3)}`);
      if (image.level) facts.push(`level ${image.level}`);
      gallery.data.dimensions.forEach((d, i) => { if (image.dims[i] !== null) facts.push(`${d} ${image.dims[i].toFixed(2)}`); });
      $(".facts-line", dialog).textContent = facts.join(" · ");
    }

    function pick() {
      const left = versions[pa.value], right = versions[pb.value];
      for (const [picture, version] of [[a, left], [b, right]]) {
        picture.src = version.src;
        picture.alt = version.name;
        picture.classList.toggle("pixel", Boolean(version.pixel));
      }
      $(".ta", stage).textContent = left.name;
      $(".tb", stage).textContent = right.name;
      [...patches.children].forEach((p, i) => p.classList.toggle("chosen", i === Number(pa.value) || i === Number(pb.value)));
      place_();
    }

    // One transform for every picture, in parts of its own box: the same spot everywhere.
    function place_() {
      const z = Number(zoom.value), at = Number(split.value);
      const half = 0.5 / z;
      centre.x = clamp(centre.x, half, 1 - half);
      centre.y = clamp(centre.y, half, 1 - half);
      const move = (scale) => {
        const edge = 0.5 / scale, x = clamp(centre.x, edge, 1 - edge), y = clamp(centre.y, edge, 1 - edge);
        return `scale(${scale}) translate(${-100 * (x - edge)}%, ${-100 * (y - edge)}%)`;
      };
      a.style.transform = b.style.transform = move(z);
      const patchZoom = Math.max(z, 1) * (z > 1 ? 1.6 : 4);
      $$(".crop img", patches).forEach((p) => { p.style.transform = move(patchZoom); });
      handle.style.left = `${at}%`;
      // The line is a place on the stage; the clip belongs to the moved picture.
      const edge = centre.x - half + (at / 100) / z;
      a.style.clipPath = `inset(0 ${100 * (1 - edge)}% 0 0)`;
    }

    b.addEventListener("load", () => { stage.style.setProperty("--aspect", `${b.naturalWidth} / ${b.naturalHeight}`); });
    for (const input of [split, zoom]) input.addEventListener("input", place_);
    for (const select of [pa, pb]) select.addEventListener("change", pick);
    $(".prev", dialog).addEventListener("click", () => load(place - 1));
    $(".next", dialog).addEventListener("click", () => load(place + 1));
    $(".close", dialog).addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.returnFocus?.focus());
    dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });

    let drag = null;
    stage.addEventListener("pointerdown", (e) => {
      drag = { line: e.target === handle || Number(zoom.value) === 1, x: e.clientX, y: e.clientY, ...{ from: { ...centre } } };
      stage.setPointerCapture(e.pointerId);
      if (drag.line) moveLine(e);
    });
    stage.addEventListener("pointermove", (e) => {
      if (!drag) return;
      if (drag.line) return moveLine(e);
      const box = stage.getBoundingClientRect(), z = Number(zoom.value);
      centre = { x: drag.from.x - (e.clientX - drag.x) / box.width / z, y: drag.from.y - (e.clientY - drag.y) / box.height / z };
      place_();
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { drag = null; });
    function moveLine(e) {
      const box = stage.getBoundingClientRect();
      split.value = String(clamp(100 * (e.clientX - box.left) / box.width, 0, 100));
      place_();
    }
    stage.addEventListener("wheel", (e) => {
      e.preventDefault();
      const box = stage.getBoundingClientRect(), before = Number(zoom.value);
      const u = (e.clientX - box.left) / box.width - 0.5, v = (e.clientY - box.top) / box.height - 0.5;
      zoom.value = String(clamp(before * (e.deltaY < 0 ? 1.25 : 0.8), 1, 12));
      const after = Number(zoom.value);
      centre = { x: centre.x + u / before - u / after, y: centre.y + v / before - v / after };
      place_();
    }, { passive: false });

    dialog.addEventListener("keydown", (e) => {
      if (e.target.matches("select, input") && e.key.startsWith("Arrow")) return;
      const steps = {
        ArrowLeft: () => load(place - 1), ArrowRight: () => load(place + 1),
        "[": () => { split.value = String(Number(split.value) - 5); place_(); },
        "]": () => { split.value = String(Number(split.value) + 5); place_(); },
        "+": () => { zoom.value = String(Number(zoom.value) * 1.25); place_(); },
        "=": () => { zoom.value = String(Number(zoom.value) * 1.25); place_(); },
        "-": () => { zoom.value = String(Number(zoom.value) / 1.25); place_(); },
      };
      if (steps[e.key]) { e.preventDefault(); steps[e.key](); }
    });
    return { open };
  })();

  $$(".dataset").forEach((section, i) => new Gallery(section, DATA[i]));
})();
