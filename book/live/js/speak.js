// "Type a text, choose a voice".
import { Meter, playerOf, show, start } from "./page.js";
import { Player, Recording } from "./audio.js";
import { SAMPLE_RATE } from "./dsp.js";

const TEXT = "Hello! I am a small network, and I live in your browser. Nobody else hears what we say.";
const LONGEST = 2000; // letters: some three minutes

const CONTROLS = `
  <p><label>Text <textarea rows="4" maxlength="${LONGEST}">${TEXT}</textarea></label></p>
  <p class="row">
    <label>Voice <select class="voice"></select></label>
    <label>mixed with <select class="other"></select></label>
    <label>share of it <input type="range" class="share" min="0" max="1" step="0.05" value="0"> <output></output></label>
  </p>
  <p class="row">
    <label>Speed <input type="range" class="speed" min="0.5" max="2" step="0.05" value="1"> <output></output></label>
    <label>Pitch <input type="range" class="pitch" min="-8" max="8" step="0.5" value="0"> <output></output></label>
  </p>
  <p class="row"><button type="button" class="main say">Speak</button>
    <button type="button" class="stop main" hidden>Stop</button> <span class="time"></span></p>
  <div class="meter"></div>
  <div class="results"></div>
  <div class="words" aria-label="How each word is said"></div>
  <p class="hint" hidden>Above each word stand its phones. A word that is <em>marked</em> is not in the dictionary: a network has
    guessed it from its letters.</p>`;

const HOW = { network: "guessed by the letter-to-phone network", letters: "spelled", ending: "by a rule for endings" };
const kind = (name) => ({ f: "woman", m: "man", c: "child" })[name[0]];

function wordsOf({ words }) {
  const line = document.createElement("p");
  for (const { word, phones, how } of words) {
    const ruby = document.createElement("ruby"), said = document.createElement("rt");
    const shown = document.createElement(how === "network" || how === "letters" ? "em" : "span");
    shown.textContent = word;
    said.textContent = phones.join(" ");
    if (HOW[how]) ruby.title = HOW[how];
    ruby.append(shown, said);
    line.append(ruby, " ");
  }
  return line;
}

async function ready(page) {
  const { client, find, root } = page, meter = new Meter(find(".meter"), "a frame", 16);
  const signs = { share: (x) => `${Math.round(100 * x)} %`, speed: (x) => `× ${x}`, pitch: (x) => `${x > 0 ? "+" : ""}${x} semitones` };
  for (const name of Object.keys(signs)) {
    const slider = find(`.${name}`), draw = () => (slider.nextElementSibling.textContent = signs[name](+slider.value));
    slider.oninput = draw;
    draw();
  }
  for (const name of await client.call("speakers"))
    for (const select of [find(".voice"), find(".other")]) select.append(new Option(`${name} (${kind(name)})`, name));
  find(".other").selectedIndex = find(".other").options.length - 1;
  let stopped = false, player = null;

  async function say() {
    const value = (name) => +find(`.${name}`).value;
    const how = { voice: find(".voice").value, other: find(".other").value, share: value("share"), speed: value("speed"), pitch: value("pitch") };
    const began = performance.now(), recording = new Recording("Synthetic speech, made by a network of the course");
    let first = null;
    await client.call("begin", find("textarea").value, how);
    show(find(".results"));
    find(".words").replaceChildren();
    find(".hint").hidden = false;
    page.say("Thinking of the first words …");
    player = await Player.open((seconds) => (find(".time").textContent = `${seconds.toFixed(1)} s`));
    for (let part; !stopped && (part = await client.call("next")); ) {
      if (part.words) {
        find(".words").append(wordsOf(part));
        continue;
      }
      if (stopped || !part.samples.length) continue;
      first ??= performance.now() - began;
      recording.push(part.samples);
      meter.add(part.times);
      player.push(part.samples);
      page.say(`Speaking. The first sound came after ${(first / 1000).toFixed(1)} s.`);
    }
    meter.draw();
    if (recording.length) {
      const seconds = recording.length / SAMPLE_RATE;
      show(find(".results"), playerOf(`${how.voice}: ${seconds.toFixed(1)} s`, recording.wav(), "speech.wav"));
    }
    player.end();
    if (!stopped) await player.over;
    page.say(stopped ? "Stopped." : `Said. The first sound came after ${(first / 1000).toFixed(1)} s.`);
  }

  find(".say").onclick = async () => {
    stopped = false;
    find(".say").hidden = true;
    find(".stop").hidden = false;
    find(".stop").focus();
    try {
      await say();
    } catch (error) {
      page.failed(error, "Change the text and try again.");
    }
    await player?.close();
    player = null;
    const here = root.contains(document.activeElement) || document.activeElement === document.body;
    find(".stop").hidden = true;
    find(".say").hidden = false;
    if (here) find(".say").focus();
  };
  find(".stop").onclick = async () => {
    stopped = true;
    await player?.close();
  };
}

const FILES = ["read.onnx", "frames.onnx", "flow.onnx", "vocoder.onnx", "g2p.onnx", "speaker.json", "lexicon.txt.gz"];

export default (root) =>
  start(root, { demo: "speak", files: () => FILES.map((name) => `models/${name}`), controls: CONTROLS, ready });
