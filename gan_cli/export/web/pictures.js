// Translates pictures as `gan sample source=` does.

const SIDES = [4096, 2048, 1024, 768, 512, 384, 256, 128, 64];
const MOST = 2 ** 22;  // pixels of a result that is drawn without being asked for; more may need more memory than there is
const LONG = 20;  // seconds, as well
const SMALLEST = 320;  // width of a picture on the screen
const TRIAL = 64;  // side of the picture that tells how fast this machine is

// The size of a picture whose longer side is `longest` at most; 0 for as it is.
function sizeOf({ bitmap: { width, height } }, longest) {
  const part = Math.min(1, (longest || Infinity) / Math.max(width, height));
  return [width, height].map((side) => Math.max(1, Math.round(side * part)));
}

// How opaque a result is, bilinearly from how opaque its source is.
function opaque(alpha, width, height, scale) {
  if (scale === 1) return (x, y) => alpha[y * width + x];
  const between = (place, side) => {
    const at = Math.max(0, Math.min(side - 1, (place + 0.5) / scale - 0.5)), low = Math.floor(at);
    return [low, Math.min(side - 1, low + 1), at - low];
  };
  return (x, y) => {
    const [x0, x1, right] = between(x, width), [y0, y1, down] = between(y, height);
    const row = (of) => (1 - right) * alpha[of * width + x0] + right * alpha[of * width + x1];
    return Math.round((1 - down) * row(y0) + down * row(y1));
  };
}

// The network's values as pixels: cut to the picture, as opaque as it, and grey where it was.
function resulting(shown, { width, height, alpha }, { data, dims: [, channels, tall, wide] }, scale) {
  const picture = new ImageData(scale * width, scale * height), bytes = picture.data;
  const seen = alpha ? opaque(alpha, width, height, scale) : () => 255;
  const greyed = shown.grey && facts.channels === 3 && channels === 3;
  for (let y = 0; y < picture.height; y++) {
    for (let x = 0; x < picture.width; x++) {
      const value = (c) => data[((channels === 1 ? 0 : c) * tall + y) * wide + x];
      const grey = greyed ? 0.299 * value(0) + 0.587 * value(1) + 0.114 * value(2) : null;
      const to = 4 * (y * picture.width + x);
      for (let c = 0; c < 3; c++) bytes[to + c] = byte(grey ?? value(c));
      bytes[to + 3] = seen(x, y);
    }
  }
  return picture;
}

function paint(canvas, picture) {
  Object.assign(canvas, { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// Seconds, in words.
const words = (seconds) => (seconds < 1 ? "less than a second"
  : seconds < 100 ? `about ${Math.round(seconds)} s` : `about ${Math.round(seconds / 60)} minutes`);

// The network, and how fast it is; opened anew after a run that was stopped or that failed.
class Translator {
  pace = 0;  // seconds for a pixel

  async run(input) {
    this.network ??= await opened();
    try {
      const start = performance.now(), found = await this.network.run({ source: input });
      const [, , height, width] = input[2];
      this.pace = (performance.now() - start) / 1000 / (height * width);
      return found;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  async warm() {
    const side = Math.max(TRIAL, facts.least), values = new Float32Array(facts.channels * side * side);
    for (let i = 0; i < 2; i++) await this.run(["float32", values, [1, facts.channels, side, side]]);
  }

  stop() {
    this.network?.close();
    this.network = null;
  }

  seconds([width, height]) { return this.pace * Math.max(width, facts.least) * Math.max(height, facts.least); }
}

// The choices of a size, each with the time that it takes; chosen is the largest that is not long.
function offer(translator, shown) {
  const select = control("longest"), { width, height } = shown.bitmap, whole = Math.max(width, height);
  const sides = [0, ...SIDES.filter((side) => side < whole)];
  const takes = (side) => translator.seconds(sizeOf(shown, side));
  const fits = (side) => {
    const [w, h] = sizeOf(shown, side);
    return facts.scale ** 2 * w * h <= MOST && takes(side) <= LONG;
  };
  select.replaceChildren(...sides.map((side) => {
    const text = side ? `${side}, made smaller` : `${whole}, as it is`;
    return new Option(`${text}: ${words(takes(side))}`, String(side));
  }));
  const chosen = sides.find(fits) ?? sides.at(-1);
  select.value = String(chosen);
  control("note").hidden = !chosen;
  control("note").textContent = `The picture has ${width} x ${height} pixels, which would take ${words(takes(0))} and much `
    + "memory, so that a smaller copy is translated. Choose another size above.";
}

function build() {
  const [tall, wide] = facts.trained;
  control("about").textContent = [
    facts.direction ? `This page translates ${facts.direction === "a2b" ? "from A to B (a2b)" : "from B to A (b2a)"}.` : "",
    facts.scale > 1 ? `The result has sides ${facts.scale} times as long.` : "",
    facts.channels === 1 ? "Colours of the picture are not read." : "",
    `The network was trained on pictures of ${wide} x ${tall} pixels, at step ${facts.step}.`,
  ].join(" ");
  setByAddress();
  lay();
}

// Beside each other, or one over the other up to the slider.
function lay() {
  const over = control("layout").value === "over";
  control("stage").classList.toggle("over", over);
  control("of-wipe").hidden = !over;
  control("stage").style.setProperty("--wipe", `${control("wipe").value}%`);
}

function unfinished(error) {
  if (error instanceof Stopped) tell("stopped");
  else fail(new Error(`${error.message}; a smaller size needs less memory`));
}

async function main() {
  build();
  const translator = new Translator();
  let shown = null, wanted = 0, busy = false;

  async function translate(now) {
    const size = sizeOf(shown, Number(control("longest").value)), source = pixels(shown, ...size);
    const start = performance.now(), guess = words(translator.seconds(size)), sides = size.join(" x ");
    const seconds = () => (performance.now() - start) / 1000;
    control("sides").value = sides;
    paint(control("source"), new ImageData(source.colour, ...size));
    paint(control("picture"), new ImageData(...size));
    control("stage").style.setProperty("--side", `${Math.max(SMALLEST, facts.scale * size[0])}px`);
    Object.assign(control("stage"), { hidden: false }).classList.add("waits");
    const say = () => tell(`translating ${sides} pixels: ${seconds().toFixed(0)} s of ${guess}`);
    say();
    const clock = setInterval(say, 1000);
    control("stop").hidden = false;
    try {
      const found = await translator.run(given(shown, source));
      if (now !== wanted) return;
      const scale = Math.round(found.dims[3] / Math.max(size[0], facts.least));
      paint(control("picture"), resulting(shown, source, found, scale));
      control("stage").classList.remove("waits");
      await keep(shown.name);
      const smaller = size[0] !== shown.bitmap.width || size[1] !== shown.bitmap.height;
      control("same").hidden = smaller;
      tell(`${sides} pixels in ${seconds().toFixed(2)} s${smaller ? `, made smaller from ${shown.bitmap.width} x ${shown.bitmap.height}` : ""}`);
    } finally {
      clearInterval(clock);
      control("stop").hidden = true;
    }
  }

  // What is asked for last is drawn; what is being drawn for an older wish is given up.
  async function redraw() {
    wanted += 1;
    delete document.body.dataset.drawn;
    delete document.body.dataset.failed;
    control("save").hidden = true;
    if (busy) {
      translator.stop();
      return;
    }
    busy = true;
    let done = 0;
    while (done !== wanted) {
      done = wanted;
      await translate(done).catch((error) => { if (done === wanted) unfinished(error); });
    }
    busy = false;
    document.body.dataset.drawn = String(done);
  }

  async function take(file) {
    if (!file) return;
    try {
      shown = await picture(file);
    } catch {
      tell(`${file.name || "this"} is not a picture that this browser reads`);
      return;
    }
    offer(translator, shown);
    await redraw();
  }

  await translator.warm();
  control("file").addEventListener("change", () => void take(control("file").files[0]));
  control("longest").addEventListener("input", () => { control("note").hidden = true; void redraw(); });
  control("layout").addEventListener("input", lay);
  control("wipe").addEventListener("input", lay);
  control("stop").addEventListener("click", () => translator.stop());
  receive(take);
  wipeByHand();
  control("command").textContent = `gan sample RUN source=PICTURE${facts.direction === "b2a" ? " direction=b2a" : ""}`;
  const example = await embedded("example");
  if (example.length) await take(new File([example], "example.png", { type: "image/png" }));
  else tell("Choose a picture: it stays in this page.");
  document.body.dataset.ready = "yes";
}

// The result as a file that can be saved.
async function keep(name) {
  const file = await new Promise((resolve) => { control("picture").toBlob(resolve, "image/png"); });
  URL.revokeObjectURL(control("save").href);
  Object.assign(control("save"), { hidden: false, href: URL.createObjectURL(file), download: `${name}-translated.png` });
}

// Pictures that are dropped anywhere, or pasted.
function receive(take) {
  const of = (data) => [...(data?.files ?? [])][0];
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, () => document.body.classList.remove("dragging"));
  }
  document.addEventListener("drop", (event) => { event.preventDefault(); void take(of(event.dataTransfer)); });
  document.addEventListener("paste", (event) => void take(of(event.clipboardData)));
}

// The slider's place follows a finger or a mouse on the picture.
function wipeByHand() {
  const stage = control("stage");
  const follow = (event) => {
    if (!stage.classList.contains("over") || !event.buttons) return;
    const { left, width } = control("picture").getBoundingClientRect();
    control("wipe").value = 100 * (event.clientX - left) / width;
    lay();
  };
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", follow);
}

main().catch(fail);
