"use strict";
// What every page does: unpack what is embedded, run the model beside the page, and say what happens.

const control = (name) => document.getElementById(name);
const facts = JSON.parse(control("facts").textContent);

// What is embedded, as bytes: gzip in base64.
async function embedded(name) {
  const letters = atob(control(name).textContent.trim());
  const packed = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A model that can be opened and run. A worker has this function's text alone, so it refers to nothing outside itself.
function engine() {
  let ort, session;
  return {
    async open({ runtime, wasm, model }) {
      ort = await import(URL.createObjectURL(new Blob([runtime], { type: "text/javascript" })));
      ort.env.wasm.wasmBinary = wasm.buffer;
      ort.env.wasm.numThreads = 1;
      session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
      return session.inputNames;
    },
    // The output for inputs of a type, values and sides.
    async run(inputs) {
      const feeds = {};
      for (const [name, given] of Object.entries(inputs)) feeds[name] = new ort.Tensor(...given);
      const { data, dims } = (await session.run(feeds))[session.outputNames[0]];
      return { data, dims };
    },
  };
}

class Stopped extends Error {}

// The engine in a worker, which answers one call after the other; the page stays alive meanwhile.
function beside() {
  const answer = `const able = (${engine})(); onmessage = ({ data: [call, given] }) => able[call](given).then(
    (value) => postMessage({ value }), (error) => postMessage({ error: String(error?.message ?? error) }));`;
  const worker = new Worker(URL.createObjectURL(new Blob([answer], { type: "text/javascript" })));
  let reject, ended;
  const end = (error) => { ended = error; reject?.(error); };
  worker.onerror = () => end(new Error("the worker has failed"));
  const call = (name) => (given) => new Promise((resolve, refuse) => {
    if (ended) throw ended;
    reject = refuse;
    worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.value));
    worker.postMessage([name, given]);
  });
  return { open: call("open"), run: call("run"), close() { worker.terminate(); end(new Stopped("stopped")); } };
}

// The embedded model, ready: in a worker or, where a browser runs none for a file, in the page itself.
async function opened() {
  let last;
  for (const make of [beside, () => ({ ...engine(), close() {} })]) {
    try {
      const able = make();
      const parts = { runtime: await embedded("runtime"), wasm: await embedded("wasm"), model: await embedded("model") };
      return { inputNames: await able.open(parts), run: able.run, close: able.close };
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

// A link sets controls: page.html#name=value&...
function setByAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (control(name)?.closest("#controls")) control(name).value = value;
  }
}

function tell(text) { control("told").textContent = text; }

function fail(error) {
  tell(`it cannot be drawn: ${error && error.message ? error.message : error}`);
  document.body.dataset.failed = "yes";
}

// A picture's values in [-1, 1] as bytes; the array that takes them clamps.
const byte = (value) => Math.round((value + 1) * 127.5);
