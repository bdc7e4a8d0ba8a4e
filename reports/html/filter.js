// The gallery's filter: words that a name holds, and bounds such as psnr<24 or severity>=0.5, all at once.
const BOUND = /^([^<>=]+)(<=|>=|<|>)(-?(?:\d+\.?\d*|\.\d+))$/;
const HOLDS = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

// What can be bounded: name in lower case -> value of an image for the method at that place.
function quantities(data) {
  const found = { severity: (image) => image.severity };
  data.dimensions.forEach((name, i) => { found[name] = (image) => image.dims[i]; });
  found.active = (image, method) => image.active[method];
  for (const m of data.metrics) found[m.id.toLowerCase()] = (image, method) => asNumber(image.values[m.id][method]);
  return found;
}

// Returns { test(image, method), wrong }: wrong says in words what was not understood, "" where all was.
function parseFilter(text, data) {
  const known = quantities(data), tests = [];
  for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
    if (!/[<>=]/.test(word)) {
      tests.push((image, method) => image.name.toLowerCase().includes(word) || image.level?.toLowerCase() === word || image.status[method] === word);
      continue;
    }
    const [, name, sign, bound] = BOUND.exec(word) ?? [];
    if (!name) return { test: null, wrong: `“${word}” is no bound: write ${data.metrics[0]?.id ?? "severity"}<0.5` };
    if (!known[name]) return { test: null, wrong: `“${name}” is not known: ${Object.keys(known).join(", ")}` };
    tests.push((image, method) => {
      const value = known[name](image, method);
      return value !== null && value !== undefined && HOLDS[sign](value, Number(bound));
    });
  }
  return { test: (image, method) => tests.every((t) => t(image, method)), wrong: "" };
}
