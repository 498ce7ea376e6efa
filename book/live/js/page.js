// What the four pages share: the start button, the way to the Worker, inputs, messages and meters.
import { CLIPS, SIZES } from "./facts.js";
import { SoundError, decode } from "./audio.js";

const RUNTIME = ["ort/ort-wasm-simd-threaded.wasm", "ort/ort.wasm.bundle.min.mjs"];
const megabytes = (names) => names.reduce((sum, name) => sum + SIZES[name], 0) / 1e6;

// Calls the methods of a model in the Worker: `await client.call("push", samples)`.
export class Client {
  constructor(onBytes) {
    this.calls = new Map();
    this.next = 0;
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => {
      if (data.bytes) return onBytes?.(data.bytes);
      const { resolve, reject } = this.calls.get(data.id);
      this.calls.delete(data.id);
      if (data.error) reject(new Error(data.error));
      else resolve(data.result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.calls.values()) reject(new Error(event.message || "the Worker did not start"));
      this.calls.clear();
    };
  }
  call(method, ...args) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args });
    });
  }
  close() { this.worker.terminate(); }
}

// Asks for a file of the book, for example a bundled sound.
export const asset = (name) => fetch(new URL(`../${name}`, import.meta.url));

// How long a call of the network takes, beside the sound that it is for.
export class Meter {
  constructor(element, unit, budget) {
    Object.assign(this, { element, unit, budget, times: [], drawn: 0 });
  }
  add(times) {
    this.times.push(...times);
    this.times.splice(0, this.times.length - 500);
    if (performance.now() - this.drawn < 200 || !this.times.length) return;
    this.draw();
  }
  draw() {
    if (!this.times.length) return;
    this.drawn = performance.now();
    const sorted = [...this.times].sort((a, b) => a - b), at = (q) => sorted[Math.floor(q * (sorted.length - 1))];
    const share = Math.min(1, at(0.5) / this.budget);
    this.element.innerHTML = `<span class="bar" aria-hidden="true"><span></span></span>
      <span><strong>${at(0.5).toFixed(1)} ms</strong> for ${this.unit} of ${this.budget} ms
      (95 of 100 within ${at(0.95).toFixed(1)} ms)</span>`;
    this.element.querySelector(".bar span").style.width = `${100 * share}%`;
    this.element.classList.toggle("slow", share === 1);
  }
}

// Sets a page up. `files` are what the demo loads, `controls` its HTML, and `ready(page)` is called once all is there.
export function start(root, { demo, files, controls, ready, choices = "", options = () => ({}) }) {
  root.innerHTML = `
    ${choices}
    <p class="row"><button type="button" class="main start">Start</button> <span class="size"></span></p>
    <progress hidden max="1" value="0" aria-label="Loading"></progress>
    <p class="status" role="status"></p>
    <div class="controls" hidden>${controls}</div>`;
  const find = (selector) => root.querySelector(selector);
  const page = {
    root,
    find,
    options,
    say(text, problem = false) {
      find(".status").textContent = text;
      find(".status").classList.toggle("problem", problem);
    },
    // What went wrong, in the reader's words, and that there are other ways.
    failed(error, instead = "") {
      page.say(`${error.message.replace(/\.$/, "")}.${instead && ` ${instead}`}`, true);
      if (!(error instanceof SoundError)) console.warn(error);
    },
  };
  const size = () => {
    const names = [...RUNTIME, ...files(page.options())], models = names.slice(RUNTIME.length);
    find(".size").textContent = `loads ${megabytes(names).toFixed(1)} MB: ${megabytes(RUNTIME).toFixed(1)} MB runtime, ` +
      `which the four pages share, and ${megabytes(models).toFixed(1)} MB model. All of it stays on this computer.`;
    return megabytes(names) * 1e6;
  };
  size();
  root.addEventListener("change", () => find(".start") && !find(".start").disabled && size());

  find(".start").onclick = async () => {
    const button = find(".start"), bar = find("progress"), total = size();
    button.disabled = true;
    const choices = [...root.querySelectorAll("fieldset")].filter((one) => !one.closest(".controls"));
    for (const choice of choices) choice.disabled = true;
    bar.hidden = false;
    page.say("Loading …");
    page.client = new Client((bytes) => {
      bar.value = bytes / total;
      if (bytes >= 0.99 * total) page.say("Preparing the network …");
    });
    try {
      if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly, which the network needs");
      await page.client.call("load", demo, page.options());
    } catch (error) {
      page.client.close();
      button.disabled = false;
      for (const choice of choices) choice.disabled = false;
      bar.hidden = true;
      page.failed(error, "Press start to try again.");
      return;
    }
    button.closest("p").remove();
    bar.remove();
    find(".controls").hidden = false;
    page.say("Ready.");
    ready(page);
    find(".controls").querySelector("button, textarea, input, select")?.focus();
  };
  return page;
}

// Microphone, file and bundled sound; while one runs, only Stop.
export const INPUTS = (name, text) => `
  <p class="row inputs">
    <button type="button" class="microphone">Microphone</button>
    <button type="button" class="choose">A sound file …</button>
    <input type="file" accept="audio/*,video/*,.wav,.flac,.mp3,.ogg,.m4a" hidden tabindex="-1" aria-label="A sound file">
    <button type="button" class="sample">${text}</button>
    <button type="button" class="stop main" hidden>Stop</button>
  </p>
  <p class="hint credit">${credit(name)}</p>`;
export const credit = (name) => `The bundled clip: “${CLIPS[name].text}” (${CLIPS[name].credit}).`;

// Joins the buttons to `microphone()`, and `samples(waveform, name)`; both resolve when all is done.
export function inputs(page, { microphone, samples, sample, stop }) {
  const { find } = page, buttons = [".microphone", ".choose", ".sample"].map(find);
  const busy = (is) => {
    for (const button of buttons) button.hidden = is;
    find(".stop").hidden = !is;
    if (is) find(".stop").focus();
  };
  const run = async (work, instead) => {
    busy(true);
    try {
      await work();
    } catch (error) {
      page.failed(error, instead);
    }
    busy(false);
  };
  const file = async (bytes, name) => {
    page.say(`Reading ${name} …`);
    await samples(await decode(await bytes, name), name);
  };
  const input = find("input[type=file]");
  buttons[0].onclick = () => run(microphone, "A sound file or the bundled clip will do.");
  buttons[1].onclick = () => input.click();
  buttons[2].onclick = () => run(async () => {
    const reply = await asset(sample());
    if (!reply.ok) throw new Error(`the clip could not be loaded (the server answers ${reply.status})`);
    await file(reply.arrayBuffer(), "the bundled clip");
  }, "The microphone or a file will do.");
  input.onchange = () => {
    const chosen = input.files[0];
    input.value = ""; // so that the same file can be chosen again
    if (chosen) run(() => file(chosen.arrayBuffer(), chosen.name), "Try another one, or the bundled clip.");
  };
  find(".stop").onclick = stop;
}

// A player with a link that saves what it plays.
export function playerOf(name, blob, file) {
  const figure = document.createElement("figure");
  const url = URL.createObjectURL(blob);
  figure.innerHTML = `<figcaption></figcaption><audio controls></audio> <a class="save">Save</a>`;
  figure.querySelector("figcaption").textContent = name;
  const audio = figure.querySelector("audio"), link = figure.querySelector("a");
  audio.src = link.href = url;
  audio.setAttribute("aria-label", name);
  link.download = file;
  link.setAttribute("aria-label", `Save: ${name}`);
  figure.forget = () => URL.revokeObjectURL(url);
  return figure;
}

export function show(container, ...figures) {
  for (const old of container.children) old.forget?.();
  container.replaceChildren(...figures);
}
