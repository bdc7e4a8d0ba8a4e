// The gallery of one dataset: its images come in pieces, its cards as the page is scrolled.
const CARDS = 120; // at once
class Gallery {
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.images = [];
    this.left = data.pieces.length;
    this.whole = new Promise((done) => { this.done = done; });
    this.group = 0;
    this.sign = -1;
    this.shown = [];
    this.box = $(".gallery", section);
    for (const name of ["sort", "metric", "method", "version", "filter"]) this[name] = $(`.${name}`, section);
    this.fill();
    for (const control of [this.sort, this.metric, this.method, this.version]) {
      control.addEventListener("change", () => this.draw());
    }
    this.filter.addEventListener("input", () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.draw(), 120); });
    const order = $(".order", section);
    order.addEventListener("click", () => { this.sign = -this.sign; order.textContent = this.sign < 0 ? "↓" : "↑"; this.draw(); });
    const groups = $$("button[data-group]", section);
    groups.forEach((b) => b.addEventListener("click", () => {
      press(groups, b);
      this.group = Number(b.dataset.group);
      $$("div.group", section).forEach((g) => { g.hidden = g.dataset.group !== b.dataset.group; });
      this.draw();
    }));
    this.end = $(".gallery-end", section);
    this.watch = new IntersectionObserver((seen) => { if (seen.some((s) => s.isIntersecting)) this.more(); }, { rootMargin: "1200px" });
  }

  // Asks for the pieces, which run in this order, the first time that the dataset is shown.
  load() {
    if (this.asked) return;
    this.asked = true;
    if (!this.left) this.taken();
    for (const src of this.data.pieces) {
      const script = make("script", { src, async: false });
      script.addEventListener("error", () => { this.lost = true; this.left -= 1; this.taken(); });
      document.head.append(script);
    }
  }

  take(start, rows) {
    rows.forEach((row, i) => { this.images[start + i] = row; });
    this.left -= 1;
    this.taken();
  }

  taken() {
    if (!this.left) {
      this.draw();
      this.done(this);
    } else if (!this.shown.length) this.draw();
    else this.count();
  }

  fill() {
    const { data } = this;
    const sorts = [["name", "name"]];
    if (data.has.severity) sorts.unshift(["severity", "severity"]);
    if (data.metrics.length) sorts.push(["value", "metric value"]);
    if (data.metrics.length && data.labels.length > 1) sorts.push(["spread", "where methods differ most"]);
    if (data.has.active) sorts.push(["active", "active experts"]);
    const versions = [["method", "restored"], ["lr", "LR"]];
    if (data.has.hr) versions.push(["hr", "HR"]);
    const option = ([value, textContent]) => make("option", { value, textContent });
    this.sort.append(...sorts.map(option));
    this.version.append(...versions.map(option));
    this.metric.append(...data.metrics.map((m, i) => option([i, m.title])));
    this.method.append(...data.labels.map((label, i) => option([i, label])));
    this.method.value = String(data.newest);
  }

  values(image) {
    const metric = this.data.metrics[this.metric.value];
    return metric ? image.values[metric.id].map(asNumber) : [];
  }

  // Active experts of the chosen method, or where that one does not route of the first that does; null = unknown.
  active(image) {
    return image.active[this.method.value] ?? image.active.find((a) => a !== null) ?? null;
  }

  key(image) {
    if (this.sort.value === "severity") return image.severity;
    if (this.sort.value === "value") return this.values(image)[this.method.value] ?? null;
    if (this.sort.value === "active") return this.active(image);
    if (this.sort.value === "spread") {
      const known = this.values(image).filter((v) => v !== null && Number.isFinite(v));
      return known.length > 1 ? Math.max(...known) - Math.min(...known) : null;
    }
    return image.name;
  }

  draw() {
    const inGroup = this.group ? new Set(this.data.strata[this.group - 1].images) : null;
    const { test, wrong } = parseFilter(this.filter.value, this.data);
    const method = Number(this.method.value), chosen = [];
    this.images.forEach((image, place) => { if (!inGroup || inGroup.has(place)) chosen.push(image); });
    const kept = test ? chosen.filter((image) => test(image, method)) : chosen;
    const sign = this.sort.value === "name" ? -this.sign : this.sign;
    this.shown = kept.sort(compareBy((image) => this.key(image), sign));
    this.of = this.filter.value.trim() ? chosen.length : 0;
    this.wrong = wrong;
    this.drawn = 0;
    this.box.replaceChildren();
    this.more();
    this.count();
  }

  more() {
    const next = this.shown.slice(this.drawn, this.drawn + CARDS);
    this.box.append(...next.map((image, i) => this.card(image, this.drawn + i)));
    this.drawn += next.length;
    this.watch.disconnect();
    if (this.drawn < this.shown.length) this.watch.observe(this.end); // tells at once where the end is already in sight
  }

  count() {
    const number = (n) => n.toLocaleString("en");
    const line = $(".count", this.section), n = this.shown.length;
    const images = this.of ? `${number(n)} of ${number(this.of)} images` : `${number(n)} image${n === 1 ? "" : "s"}`;
    const loading = this.left ? `, ${number(this.data.count - Object.keys(this.images).length)} still loading` : "";
    line.textContent = this.wrong || `${images}${loading}${this.lost ? "; files of this page are missing: data/" : ""}`;
    line.classList.toggle("wrong", Boolean(this.wrong || this.lost));
  }

  thumbnail(image) {
    const wanted = this.version.value === "method" ? image.out[this.method.value] : image[this.version.value];
    if (!wanted || !wanted[1]) {
      const status = this.version.value === "method" ? image.status[this.method.value] : "";
      const words = { failed: "failed", oom: "out of memory" };
      return make("span", { className: "blank", textContent: words[status] || "no file" });
    }
    return make("img", { loading: "lazy", decoding: "async", alt: "", width: 240, height: 240, src: wanted[1] });
  }

  card(image, place) {
    const metric = this.data.metrics[this.metric.value];
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
      lines.push(make("span", { textContent: `severity ${image.severity.toFixed(2)}` }), make("span", { className: "meter" }, bar));
    }
    if (image.level) lines.push(make("span", { textContent: `level ${image.level}` }));
    const active = this.active(image);
    if (active !== null) lines.push(make("span", { textContent: `${show(active, 2)} active experts` }));
    const button = make("button", { type: "button", className: "shot" }, this.thumbnail(image), make("span", { className: "t" }, ...lines));
    button.addEventListener("click", () => viewer.open(this, this.shown, place));
    return button;
  }
}
