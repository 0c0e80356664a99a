// Draws samples as `gan sample` does, of latents that the controls move.

const BLOCK = 64;  // samples whose random numbers are drawn together
const TILE = 48, GAP = 2;  // gan_cli/pictures.py
const AT_ONCE = 16;  // samples that the network draws in one call

// Latents [n, z] and noise [n, p] of samples 0 ... n - 1, kept until others are asked for.
function drawn(seed, n, prior) {
  const key = JSON.stringify([seed, n, prior]);
  if (drawn.key !== key) Object.assign(drawn, { key, all: drawnAnew(seed, n, prior) });
  return drawn.all;
}

// The noise of every layer follows the latents of a block.
function drawnAnew(seed, n, prior) {
  const z = facts.latent_dim, p = facts.noise.reduce((sum, [h, w]) => sum + h * w, 0);
  const latent = new Float32Array(n * z), noise = new Float32Array(n * p);
  for (let start = 0; start < n; start += BLOCK) {
    const random = randomOf(seed, start / BLOCK), rows = Math.min(BLOCK, n - start);
    latent.set(PRIORS[prior.name](random, BLOCK, z, prior.bound).subarray(0, rows * z), start * z);
    let offset = 0;
    for (const [height, width] of facts.noise) {
      const size = height * width, values = random.normals(BLOCK * size);
      for (let i = 0; i < rows; i++) {
        noise.set(values.subarray(i * size, (i + 1) * size), (start + i) * p + offset);
      }
      offset += size;
    }
  }
  return { latent, noise, z, p };
}

// Along the great circle from a to b, as gan_cli.sampling.slerp.
function slerp(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const lengthA = Math.sqrt(dot(a, a)), lengthB = Math.sqrt(dot(b, b));
  const angle = Math.acos(Math.max(-1, Math.min(1, dot(a, b) / (lengthA * lengthB))));
  if (!(Math.sin(angle) >= 1e-3)) return a.map((value, i) => value + t * (b[i] - value));
  const length = (1 - t) * lengthA + t * lengthB, sine = Math.sin(angle);
  return a.map((value, i) => length / sine
    * (Math.sin((1 - t) * angle) * value / lengthA + Math.sin(t * angle) * b[i] / lengthB));
}

// What the network is given for the samples asked for.
function inputs(asked) {
  const { n, seed } = asked, styled = facts.inputs.includes("truncation");
  const prior = !styled && facts.truncation && asked.truncation < facts.truncation.max
    ? { name: "Truncated", bound: asked.truncation } : facts.prior;
  const all = drawn(seed, asked.between ? 2 * n : n, prior), z = all.z;
  const latent = all.latent.slice(0, n * z);
  if (asked.between) {
    for (let i = 0; i < n; i++) {
      const row = (k) => all.latent.subarray(k * z, (k + 1) * z);
      latent.set(slerp(row(i), row(n + i), asked.between), i * z);
    }
  }
  const shift = new Float32Array(n * facts.width);
  facts.directions.forEach((direction, k) => {
    if (asked.along[k]) for (let i = 0; i < shift.length; i++) shift[i] += asked.along[k] * direction[i % facts.width];
  });
  if (!styled && facts.directions.length) latent.forEach((value, i) => { latent[i] = value + shift[i]; });
  const labels = Array.from({ length: n }, (_, i) => (asked.label < 0 ? i % Math.max(1, facts.classes) : asked.label));
  return {
    labels,
    latent: [latent, z],
    noise: [all.noise.subarray(0, n * all.p), all.p],
    label: [BigInt64Array.from(labels, BigInt), 0],
    truncation: [new Float32Array(n).fill(asked.truncation), 1],
    shift: [shift, facts.width],
  };
}

async function samples(network, asked) {
  const given = inputs(asked), parts = [];
  for (let start = 0; start < asked.n; start += AT_ONCE) {
    const rows = Math.min(AT_ONCE, asked.n - start), feeds = {};
    for (const name of network.inputNames) {
      const [values, width] = given[name];
      const piece = values.slice(start * (width || 1), (start + rows) * (width || 1));
      feeds[name] = [width ? "float32" : "int64", piece, width ? [rows, width] : [rows]];
    }
    parts.push(await network.run(feeds));
  }
  const values = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  parts.reduce((offset, part) => { values.set(part.data, offset); return offset + part.data.length; }, 0);
  return { values, shape: [asked.n, ...parts[0].dims.slice(1)], labels: given.labels };
}

// The order of a grid: one row a class where there are several, -1 for white.
function arranged(labels) {
  const n = labels.length, kinds = [...new Set(labels)].sort((a, b) => a - b);
  if (kinds.length < 2) return { order: labels.map((_, i) => i), columns: Math.ceil(Math.sqrt(n)) };
  const rows = kinds.map((kind) => labels.flatMap((label, i) => (label === kind ? [i] : [])));
  const columns = Math.max(...rows.map((row) => row.length));
  return { order: rows.flatMap((row) => [...row, ...Array(columns - row.length).fill(-1)]), columns };
}

function paintImages(canvas, { values, shape: [, channels, height, width], labels }) {
  const factor = Math.ceil(TILE / Math.min(height, width)), { order, columns } = arranged(labels);
  const tall = height * factor + GAP, wide = width * factor + GAP;
  canvas.width = columns * wide + GAP;
  canvas.height = Math.ceil(order.length / columns) * tall + GAP;
  const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
  picture.data.fill(255);
  order.forEach((sample, place) => {
    if (sample < 0) return;
    const top = GAP + Math.floor(place / columns) * tall, left = GAP + (place % columns) * wide;
    for (let y = 0; y < height * factor; y++) {
      for (let x = 0; x < width * factor; x++) {
        const from = Math.floor(y / factor) * width + Math.floor(x / factor);
        const to = 4 * ((top + y) * canvas.width + left + x);
        for (let c = 0; c < 3; c++) {
          picture.data[to + c] = byte(values[(sample * channels + (channels === 1 ? 0 : c)) * height * width + from]);
        }
      }
    }
  });
  context.putImageData(picture, 0, 0);
}

function paintPoints(canvas, { values, shape: [n] }) {
  const side = 500, reach = 1.1 * values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, side, side);
  context.fillStyle = "#1f77b4";
  for (let i = 0; i < n; i++) {
    const at = (value) => side / 2 * (1 + value / reach);
    context.beginPath();
    context.arc(at(values[2 * i]), at(-values[2 * i + 1]), 2, 0, 7);
    context.fill();
  }
}

function asked() {
  const whole = (name, low, high) => Math.max(low, Math.min(high, Math.trunc(Number(control(name).value)) || 0));
  return {
    seed: whole("seed", 0, Number.MAX_SAFE_INTEGER),
    n: whole("n", 1, facts.points ? 10000 : 256),
    label: facts.classes ? Number(control("class").value) : 0,
    truncation: Number(control("truncation").value),
    between: Number(control("between").value),
    along: facts.directions.map((_, k) => Number(control(`direction${k}`).value)),
  };
}

// The command that draws the same; empty where no single one does.
function command({ seed, n, label, truncation, between, along }) {
  if (between || along.some(Boolean)) return "";
  const cut = facts.truncation && truncation < facts.truncation.max ? ` truncation=${truncation}` : "";
  return `gan sample RUN n=${n} seed=${seed}${facts.classes && label >= 0 ? ` classes=${label}` : ""}${cut}`;
}

function slider(id, title, low, high, step, value) {
  const label = document.createElement("label"), input = document.createElement("input");
  label.append(title, document.createElement("output"), input);
  Object.assign(input, { id, type: "range", min: low, max: high, step, value });
  return label;
}

function build() {
  control("of-class").hidden = !facts.classes;
  for (let k = -1; k < facts.classes; k++) {
    control("class").add(new Option(k < 0 ? "all, in turn" : facts.class_names[k] ?? String(k), String(k)));
  }
  control("of-truncation").hidden = !facts.truncation;
  if (facts.truncation) {
    Object.assign(control("truncation"), { min: facts.truncation.min, max: facts.truncation.max, step: 0.05 });
    control("truncation").value = facts.truncation.max;
  }
  Object.assign(control("n"), { max: facts.points ? 10000 : 256, value: facts.n });
  control("directions").hidden = !facts.directions.length;
  facts.directions.forEach((_, k) => control("directions").append(slider(`direction${k}`, `${k + 1}`, -3, 3, 0.1, 0)));
  setByAddress();
}

async function main() {
  build();
  const network = await opened();
  let wanted = 0, busy = false, shown = 0;
  async function show() {
    const now = asked(), start = performance.now();
    document.querySelectorAll("output").forEach((output) => { output.value = output.parentElement.querySelector("input").value; });
    if (facts.truncation && now.truncation >= facts.truncation.max) control("of-truncation").querySelector("output").value = "off";
    const found = await samples(network, now);
    (facts.points ? paintPoints : paintImages)(control("picture"), found);
    control("save").href = control("picture").toDataURL("image/png");
    control("command").textContent = command(now);
    control("same").hidden = !command(now);
    tell(`${now.n} samples in ${((performance.now() - start) / 1000).toFixed(2)} s`);
  }
  async function redraw() {
    wanted += 1;
    delete document.body.dataset.failed;
    if (busy) return;
    busy = true;
    try {
      while (shown !== wanted) {
        shown = wanted;
        await show();
      }
    } finally {
      busy = false; // after an error too: the next change draws again
    }
    document.body.dataset.drawn = String(shown);
  }
  control("controls").addEventListener("input", () => { delete document.body.dataset.drawn; void redraw().catch(fail); });
  control("reset").addEventListener("click", () => {
    Object.assign(control("seed"), { value: 0 });
    control("n").value = facts.n;
    if (facts.truncation) control("truncation").value = facts.truncation.max;
    if (facts.classes) control("class").value = "-1";
    control("between").value = 0;
    facts.directions.forEach((_, k) => { control(`direction${k}`).value = 0; });
    void redraw().catch(fail);
  });
  await redraw();
}

main().catch(fail);
