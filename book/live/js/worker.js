// Where the networks compute: a Worker, so that the page stays quick while they do. It loads one demo, and then answers
// calls of its methods one after the other.

const DEMOS = {
  denoise: () => import("./denoise.model.js"),
  speak: () => import("./speak.model.js"),
  listen: () => import("./listen.model.js"),
  compose: () => import("./compose.model.js"),
};
const BASE = new URL("../", import.meta.url);
const WASM = "ort/ort-wasm-simd-threaded.wasm", RUNTIME = "ort/ort.wasm.bundle.min.mjs";

// A file in pieces, so that the page can show how much has come.
async function fetchBytes(name, onBytes) {
  const reply = await fetch(new URL(name, BASE));
  if (!reply.ok) throw new Error(`${name} could not be loaded (the server answers ${reply.status})`);
  const parts = [], reader = reply.body.getReader();
  for (let part; !(part = await reader.read()).done; ) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function load(demo, options) {
  const { create, files } = await DEMOS[demo]();
  let bytes = 0;
  const onBytes = (count) => postMessage({ bytes: (bytes += count) });
  const names = [WASM, ...files(options)];
  const contents = await Promise.all(names.map((name) => fetchBytes(name, onBytes)));
  const ort = await import(new URL(RUNTIME, BASE));
  // One thread needs no "cross-origin isolation" (two headers that simple servers do not send). The runtime is given its
  // WebAssembly, so it looks for no file itself.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = contents[0];
  ort.env.logLevel = "error";
  const loaded = {};
  for (let i = 1; i < names.length; i++) {
    const name = names[i].split("/").pop();
    if (name.endsWith(".onnx"))
      loaded[name] = await ort.InferenceSession.create(contents[i], { executionProviders: ["wasm"] });
    else if (name.endsWith(".json")) loaded[name] = JSON.parse(new TextDecoder().decode(contents[i]));
    else loaded[name] = contents[i];
  }
  return create(ort, loaded, options);
}

let model = null, queue = Promise.resolve();

async function answer({ id, method, args }) {
  try {
    let result = null;
    if (method === "load") model = await load(...args);
    else result = await model[method](...args);
    postMessage({ id, result });
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error) });
  }
}

onmessage = ({ data }) => {
  queue = queue.then(() => answer(data));
};
