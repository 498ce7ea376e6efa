// "Compose a chorale": free, or for a melody of the reader's own.
import { Meter, playerOf, show, start } from "./page.js";
import { Recording } from "./audio.js";
import { VOICES, melody, notes, parallels, written } from "./music.js";

const MELODIES = {
  "Ode to Joy": "F#4 F#4 G4 A4 A4 G4 F#4 E4 D4 D4 E4 F#4 F#4*1.5 E4*.5 E4*2",
  "A scale down and up": "C5 B4 A4 G4 F4 E4 D4 C4 C4 D4 E4 F4 G4 A4 B4 C5*2",
  "Frère Jacques": "G4 A4 B4 G4 G4 A4 B4 G4 B4 C5 D5*2 B4 C5 D5*2",
};
const METRES = { "4/4": [16, 0], "4/4, one beat before the first bar": [16, 4], "3/4": [12, 0] };
const TEMPO = 76; // beats a minute
const LONGEST = 400; // steps of a melody: 25 bars

const CONTROLS = `
  <fieldset class="task"><legend>What shall it do?</legend>
    <label><input type="radio" name="task" value="compose" checked> <strong>compose</strong> a piece of its own</label><br>
    <label><input type="radio" name="task" value="harmonise"> <strong>harmonise</strong> a melody of yours: alto, tenor and bass for it</label>
  </fieldset>
  <p class="row for-compose"><label>Bars <input type="range" class="bars" min="2" max="24" value="6"> <output></output></label>
    <label><input type="checkbox" class="strict" checked> no parallel fifths and octaves</label></p>
  <div class="for-harmonise" hidden>
    <p><label>Example <select class="example"></select></label></p>
    <p><label>Melody <textarea class="melody" rows="2" spellcheck="false"></textarea></label>
      <span class="hint">A letter, # or b, and the octave (C4 is the middle C); *2 makes a note two beats long, r is a rest.</span></p>
  </div>
  <p class="row"><label>Metre <select class="metre"></select></label>
    <label>Temperature <input type="range" class="temperature" min="0.2" max="1.6" step="0.1" value="1"> <output></output></label>
    <label>Seed <input type="number" class="seed" min="0" max="99999" value="1"></label></p>
  <p class="row"><button type="button" class="main write">Write</button>
    <button type="button" class="stop main" hidden>Stop</button> <span class="time"></span></p>
  <div class="meter"></div>
  <div class="roll" tabindex="0" aria-label="The piece as a picture; it can be scrolled"></div>
  <p class="legend hint" hidden>${VOICES.map((voice, v) => `<span class="voice${v}">■</span> ${voice}`).join(" ")}</p>
  <p class="rules"></p>
  <div class="results"></div>
  <details class="notes" hidden><summary>The notes as text</summary><dl></dl></details>`;

// A piano roll: time to the right, pitch upwards, a colour and a shape of edge for each voice.
function roll(grid, bar, pickup) {
  const side = 6, row = 5, pitches = grid.flat().filter(Boolean), low = Math.min(...pitches, 60) - 2, high = Math.max(...pitches, 60) + 2;
  const width = Math.max(grid.length, 64) * side, height = (high - low + 1) * row;
  const bars = [];
  for (let t = pickup % bar; t <= grid.length; t += bar) bars.push(`<line x1="${t * side}" x2="${t * side}" y1="0" y2="${height}"/>`);
  const shapes = notes(grid).map(({ voice, pitch, start, length }) =>
    `<rect class="voice${voice}" x="${start * side + 0.5}" y="${(high - pitch) * row}" width="${length * side - 1}" height="${row}" rx="1.5"/>`);
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img"
    aria-label="Piano roll of ${Math.round(grid.length / 4)} beats in four voices; the notes stand below as text">
    ${bars.join("")}${shapes.join("")}<line class="cursor" x1="0" x2="0" y1="0" y2="${height}"/></svg>`;
}

function ready(page) {
  const { client, find, root } = page;
  const meter = new Meter(find(".meter"), "a step", Math.round(60000 / TEMPO / 4));
  const task = () => root.querySelector("[name=task]:checked").value;
  for (const [name, text] of Object.entries(MELODIES)) find(".example").append(new Option(name, text));
  for (const name of Object.keys(METRES)) find(".metre").append(new Option(name));
  find(".melody").value = MELODIES["Ode to Joy"];
  find(".example").onchange = () => (find(".melody").value = find(".example").value);
  for (const name of ["bars", "temperature"]) {
    const slider = find(`.${name}`), draw = () => (slider.nextElementSibling.textContent = slider.value);
    slider.oninput = draw;
    draw();
  }
  for (const radio of root.querySelectorAll("[name=task]"))
    radio.onchange = () => {
      find(".for-compose").hidden = task() !== "compose";
      find(".for-harmonise").hidden = task() !== "harmonise";
    };
  let stopped = false;

  function follow(audio, steps) {
    const draw = () => {
      const x = 6 * steps * Math.min(1, audio.currentTime / (steps * 60 / TEMPO / 4)), cursor = find(".cursor"), box = find(".roll");
      if (!cursor || !audio.isConnected) return;
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      if (audio.paused) return;
      if (x > box.scrollLeft + 0.8 * box.clientWidth) box.scrollLeft = x - 0.2 * box.clientWidth;
      requestAnimationFrame(draw);
    };
    for (const event of ["play", "seeked", "ended"]) audio.addEventListener(event, draw);
  }

  async function write() {
    const metre = METRES[find(".metre").value], harmonise = task() === "harmonise";
    const soprano = harmonise ? melody(find(".melody").value) : null, steps = soprano?.length ?? metre[0] * +find(".bars").value + metre[1];
    if (steps > LONGEST) throw new Error(`A melody may have ${LONGEST / 4} beats here, and this one has ${steps / 4}`);
    await client.call("begin", {
      soprano, steps, metre, seed: Math.abs(+find(".seed").value | 0), temperature: +find(".temperature").value,
      strict: find(".strict").checked,
    });
    show(find(".results"));
    find(".rules").textContent = "";
    find(".notes").hidden = true;
    find(".legend").hidden = false;
    page.say(harmonise ? "Harmonising …" : "Composing …");
    let grid = [];
    for (let part; !stopped && (part = await client.call("next")); ) {
      ({ grid } = part);
      meter.add(part.times);
      find(".roll").innerHTML = roll(grid, ...metre);
      find(".roll").scrollLeft = 1e6;
      find(".time").textContent = `${grid.length / 4} of ${steps / 4} beats`;
    }
    meter.draw();
    if (!grid.length) return page.say("Stopped before the first beat.");
    find(".roll").scrollLeft = 0;
    const recording = new Recording("Music composed by a network of the course");
    recording.push(await client.call("sound", grid, TEMPO));
    const figure = playerOf(`${grid.length / 4} beats`, recording.wav(), "chorale.wav");
    show(find(".results"), figure);
    follow(figure.querySelector("audio"), grid.length);
    const breaks = parallels(grid);
    find(".rules").textContent = breaks
      ? `Parallel fifths or octaves: ${breaks}. A teacher of harmony would mark them.`
      : "No parallel fifths or octaves.";
    find(".notes dl").innerHTML = VOICES.map((voice, v) => `<dt>${voice}</dt><dd>${written(grid, v)}</dd>`).join("");
    find(".notes").hidden = false;
    page.say(`${stopped ? "Stopped" : "Written"}: ${grid.length / 4} beats. Press play.`);
  }

  find(".write").onclick = async () => {
    stopped = false;
    find(".write").hidden = true;
    find(".stop").hidden = false;
    find(".stop").focus();
    try {
      await write();
    } catch (error) {
      page.failed(error);
    }
    find(".stop").hidden = true;
    find(".write").hidden = false;
    find(".write").focus();
  };
  find(".stop").onclick = () => (stopped = true);
}

const FILES = ["step.onnx", "voice0.onnx", "voice1.onnx", "voice2.onnx", "voice3.onnx", "music.json"];

export default (root) =>
  start(root, { demo: "compose", files: () => FILES.map((name) => `models/${name}`), controls: CONTROLS, ready });
