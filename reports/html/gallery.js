// The gallery of one dataset: sorted cards.
class Gallery {
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.group = 0;
    this.sign = -1;
    this.box = $(".gallery", section);
    for (const name of ["sort", "metric", "method", "version"]) this[name] = $(`.${name}`, section);
    this.fill();
    for (const control of [this.sort, this.metric, this.method, this.version]) {
      control.addEventListener("change", () => this.draw());
    }
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

  fill() {
    const { data } = this;
    const sorts = [["name", "name"]];
    if (data.images.some((i) => i.severity !== null)) sorts.unshift(["severity", "severity"]);
    if (data.metrics.length) sorts.push(["value", "metric value"]);
    if (data.metrics.length && data.labels.length > 1) sorts.push(["spread", "where methods differ most"]);
    if (data.images.some((i) => i.active.some((a) => a !== null))) sorts.push(["active", "active experts"]);
    const versions = [["method", "restored"], ["lr", "LR"]];
    if (data.images.some((i) => i.hr[0])) versions.push(["hr", "HR"]);
    const option = ([value, textContent]) => make("option", { value, textContent });
    this.sort.append(...sorts.map(option));
    this.version.append(...versions.map(option));
    this.metric.append(...data.metrics.map((m, i) => option([i, m.title])));
    this.method.append(...data.labels.map((label, i) => option([i, label])));
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
    const chosen = this.data.images.map((image, place) => ({ image, place })).filter((x) => !inGroup || inGroup.has(x.place));
    const sign = this.sort.value === "name" ? -this.sign : this.sign;
    this.shown = chosen.sort(compareBy((x) => this.key(x.image), sign)).map((x) => x.image);
    this.box.replaceChildren(...this.shown.map((image, place) => this.card(image, place)));
    $(".count", this.section).textContent = `${this.shown.length} image${this.shown.length === 1 ? "" : "s"}`;
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
    button.addEventListener("click", () => viewer.open(this, place));
    return button;
  }
}
