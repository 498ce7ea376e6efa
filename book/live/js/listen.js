// "Speak, and see the words".
import { INPUTS, Meter, credit, inputs, start } from "./page.js";
import { openMicrophone } from "./audio.js";
import { SAMPLE_RATE } from "./dsp.js";

const CHOICES = `
  <fieldset><legend>Which recogniser?</legend>
    <label><input type="radio" name="recogniser" value="phrases" checked> <strong>few words</strong>: numbers, times, dates and
      commands, 153 words in all; the smaller one, and the surer one for these words</label><br>
    <label><input type="radio" name="recogniser" value="recognition"> <strong>any words</strong>, letter by letter, without a
      language model: it spells as it hears</label>
  </fieldset>`;

const CONTROLS = `
  ${INPUTS("digits", "The bundled clip")}
  <p class="row"><span class="time"></span> <progress class="done" max="1" value="0" hidden aria-label="Done"></progress></p>
  <div class="meter"></div>
  <p class="hint heading">What was heard</p>
  <div class="transcript" role="log" aria-live="polite" aria-label="What was heard"></div>
  <p class="hint partial" aria-hidden="true"></p>`;

const TRY = {
  phrases: "Say for example: “set the timer for twenty five minutes”, “the third of april”, or a row of digits.",
  recognition: "Say a sentence, not too fast.",
};

function ready(page) {
  const { client, find } = page, { recogniser } = page.options();
  const clip = recogniser === "phrases" ? "digits" : "reading";
  const meter = new Meter(find(".meter"), "a frame", 16);
  let stop = () => {}, stopped = false, said = 0;
  find(".credit").textContent = credit(clip);
  find("fieldset").remove(); // what is loaded stays
  page.say(`Ready. ${TRY[recogniser]}`);

  async function begin() {
    await client.call("begin");
    find(".transcript").replaceChildren();
    find(".partial").textContent = "";
    [stopped, said] = [false, 0];
  }
  // Screen readers are told finished utterances only: guesses that change several times a second would be noise.
  function came({ text, stable, over, times }) {
    meter.add(times);
    if (over && text) {
      const line = document.createElement("p");
      line.textContent = text;
      find(".transcript").append(line);
      said += text.split(" ").length;
    }
    const line = find(".partial"), sure = document.createElement("strong");
    sure.textContent = over ? "" : stable;
    line.replaceChildren(sure, over ? "" : text.slice(stable.length));
  }
  async function finish(name) {
    came(await client.call("finish"));
    meter.draw();
    page.say(`${stopped ? "Stopped" : "Done"}: ${said} ${said === 1 ? "word" : "words"} in ${name}.${said ? "" : " Louder, or nearer to the microphone?"}`);
  }

  async function microphone() {
    await begin();
    let open, pending = Promise.resolve(), seconds = 0, waiting = 0;
    const over = new Promise((resolve) => (stop = resolve));
    const onChunk = (samples) => {
      seconds += samples.length / SAMPLE_RATE;
      waiting += samples.length / SAMPLE_RATE;
      pending = pending.then(async () => {
        came(await client.call("push", samples));
        waiting -= samples.length / SAMPLE_RATE;
      });
      pending.catch(stop);
      find(".time").textContent = `${seconds.toFixed(1)} s${waiting > 1 ? `; the network is ${waiting.toFixed(1)} s late` : ""}`;
    };
    try {
      page.say("Waiting for the microphone …");
      open = await openMicrophone(onChunk, stop);
      page.say(`Listening. ${TRY[recogniser]}`);
      await over;
    } finally {
      await open?.stop();
    }
    stopped = true;
    await pending;
    await finish("the microphone's sound");
  }

  async function samples(waveform, name) {
    await begin();
    stop = () => (stopped = true);
    const bar = find(".done"), step = SAMPLE_RATE / 2;
    bar.hidden = false;
    page.say(`Listening to ${name} …`);
    for (let at = 0; at < waveform.length && !stopped; at += step) {
      came(await client.call("push", waveform.slice(at, at + step)));
      bar.value = Math.min(1, (at + step) / waveform.length);
      find(".time").textContent = `${Math.min(at + step, waveform.length) / SAMPLE_RATE | 0} of ${waveform.length / SAMPLE_RATE | 0} s`;
    }
    bar.hidden = true;
    await finish(name);
  }

  inputs(page, { microphone, samples, sample: () => `sounds/${clip}.flac`, stop: () => stop() });
}

export default (root) =>
  start(root, {
    demo: "listen",
    files: ({ recogniser }) => [`models/${recogniser}.onnx`, `models/${recogniser}.json`],
    options: () => ({ recogniser: root.querySelector("[name=recogniser]:checked").value }),
    controls: CONTROLS,
    choices: CHOICES,
    ready,
  });
