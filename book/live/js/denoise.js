// "Remove noise": the microphone or a file, before and after.
import { Meter, INPUTS, inputs, playerOf, show, start } from "./page.js";
import { Player, Recording, openMicrophone } from "./audio.js";
import { SAMPLE_RATE, HOP } from "./dsp.js";

const LONGEST = 600; // seconds from the microphone
const WIDTH = 380, ROWS = 64; // of a picture: 6 s

const CONTROLS = `
  ${INPUTS("noisy", "The bundled clip")}
  <p><label><input type="checkbox" class="hear"> hear it at once while the microphone is on (with headphones: loudspeakers
  would be heard again)</label></p>
  <p class="row"><span class="time"></span> <progress class="done" max="1" value="0" hidden aria-label="Done"></progress></p>
  <div class="meter"></div>
  <div class="pictures">
    <figure><figcaption>What came in</figcaption><canvas class="before" width="${WIDTH}" height="${ROWS}" role="img"
      aria-label="Spectrogram of what came in"></canvas></figure>
    <figure><figcaption>What the network left</figcaption><canvas class="after" width="${WIDTH}" height="${ROWS}" role="img"
      aria-label="Spectrogram of what the network left"></canvas></figure>
  </div>
  <p class="levels"></p>
  <div class="results"></div>`;

// A spectrogram that moves to the left when it is full; brighter is louder, low sounds are at the bottom.
class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
  }
  clear() {
    this.used = 0;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, WIDTH, ROWS);
  }
  add(columns) {
    const fresh = columns.slice(-WIDTH), excess = Math.max(0, this.used + fresh.length - WIDTH);
    if (excess) this.context.drawImage(this.canvas, -excess, 0);
    this.used -= excess;
    for (const column of fresh) {
      const image = this.context.createImageData(1, ROWS);
      for (let r = 0; r < ROWS; r++) {
        const x = column[r] / 255, at = 4 * (ROWS - 1 - r);
        // dark blue, red, yellow, white: as bright as loud, also for eyes that see few colours
        image.data.set([255 * Math.min(1, 1.6 * x), 255 * x ** 1.6, 255 * (0.25 * Math.sin(Math.PI * x) + x ** 4), 255], at);
      }
      this.context.putImageData(image, this.used++, 0);
    }
  }
}

function ready(page) {
  const { client, find } = page;
  const meter = new Meter(find(".meter"), "a frame", 16);
  const pictures = { before: new Picture(find(".before")), after: new Picture(find(".after")) };
  let before, after, levels, stopped, stop = () => {};

  async function begin() {
    await client.call("begin");
    [before, after, levels, stopped] = [new Recording(), new Recording(), [], false];
    show(find(".results"));
    find(".levels").textContent = "";
    pictures.before.clear();
    pictures.after.clear();
  }
  function came(result) {
    after.push(result.samples);
    meter.add(result.times);
    pictures.before.add(result.before);
    pictures.after.add(result.after);
    levels.push(...result.levels);
    levels.splice(0, levels.length - 40000); // 10 minutes: enough for a quantile
  }
  async function finish(name) {
    came(await client.call("finish"));
    meter.draw();
    // The quietest tenth of the frames has no speech in it, as long as there are pauses: what sounds there is noise.
    const heard = levels.filter(([came]) => came > -80); // digital silence can not become quieter
    const tenth = [0, 1].map((i) => heard.map((pair) => pair[i]).sort((a, b) => a - b)[Math.floor(heard.length / 10)]);
    find(".levels").textContent = !heard.length ? "This was silence." : `In its quietest tenth the sound fell by ${(tenth[0] - tenth[1]).toFixed(0)} dB. ` +
      "That is what pauses have lost; how good the speech is, only ears can say.";
    show(find(".results"), playerOf("Before", before.wav(), "before.wav"), playerOf("After", after.wav(), "after.wav"));
    page.say(`${stopped ? "Stopped" : "Done"}: ${(before.length / SAMPLE_RATE).toFixed(1)} s of ${name}. Compare before and after.`);
  }

  async function microphone() {
    await begin();
    const player = find(".hear").checked ? await Player.open() : null;
    let open, pending = Promise.resolve(), waiting = 0;
    const over = new Promise((resolve) => (stop = resolve));
    const onChunk = (samples) => {
      before.push(samples);
      waiting += samples.length;
      pending = pending.then(async () => {
        const result = await client.call("push", samples);
        waiting -= samples.length;
        came(result);
        // A store of 64 ms before the first sample; what is more than 0.5 s late is dropped.
        if (result.samples.length) player?.push(result.samples, { store: 4 * HOP, limit: SAMPLE_RATE / 2 });
      });
      pending.catch(stop);
      const seconds = before.length / SAMPLE_RATE, late = waiting / SAMPLE_RATE;
      find(".time").textContent = `${seconds.toFixed(1)} s${late > 1 ? `; the network is ${late.toFixed(1)} s late, and will catch up` : ""}`;
      if (seconds >= LONGEST) stop();
    };
    try {
      page.say("Waiting for the microphone …");
      open = await openMicrophone(onChunk, stop);
      page.say("Listening. Speak, and make some noise.");
      await over;
    } finally {
      await open?.stop();
      await player?.close();
    }
    stopped = true;
    page.say("Finishing …");
    await pending;
    if (!before.length) throw new Error("The microphone gave no sound");
    await finish("the microphone");
  }

  async function samples(waveform, name) {
    await begin();
    stop = () => (stopped = true);
    const bar = find(".done"), step = SAMPLE_RATE; // a second at a time: memory does not grow with the file
    bar.hidden = false;
    page.say(`Removing noise from ${name} …`);
    for (let at = 0; at < waveform.length && !stopped; at += step) {
      const chunk = waveform.subarray(at, at + step);
      before.push(chunk);
      came(await client.call("push", chunk.slice()));
      bar.value = before.length / waveform.length;
      find(".time").textContent = `${(before.length / SAMPLE_RATE).toFixed(0)} of ${(waveform.length / SAMPLE_RATE).toFixed(0)} s`;
    }
    bar.hidden = true;
    await finish(name);
  }

  inputs(page, { microphone, samples, sample: () => "sounds/noisy.flac", stop: () => stop() });
}

export default (root) =>
  start(root, { demo: "denoise", files: () => ["models/enhancement.onnx"], controls: CONTROLS, ready });
