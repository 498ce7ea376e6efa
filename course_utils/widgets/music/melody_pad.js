// Draw a melody: one column an eighth, one row a semitone. Click or drag sets a note, a click on it removes it.
// With the keyboard: arrow left and right go through the columns, up and down change the note, Delete makes a rest.

const SIDE = 16, NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
const SVG = "http://www.w3.org/2000/svg";

function make(kind, attributes, parent) {
  const node = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return parent.appendChild(node);
}

function render({ model, el }) {
  const low = model.get("lowest"), high = model.get("highest"), rows = high - low + 1;
  let column = 0, drawing = null;

  el.innerHTML = '<div class="course-widget"></div>';
  const svg = make("svg", { tabindex: 0, role: "application", style: "display:block;max-width:100%;touch-action:none" }, el.firstChild);
  svg.dataset.lmSuppressShortcuts = "true"; // arrow keys are for the melody, not for JupyterLab

  const name = (pitch) => (pitch ? NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1) : "rest");

  function set(index, pitch) {
    const pitches = [...model.get("pitches")];
    pitches[index] = pitch;
    model.set("pitches", pitches);
    model.save_changes();
  }

  function draw() {
    const pitches = model.get("pitches");
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${40 + SIDE * pitches.length} ${SIDE * rows}`);
    svg.setAttribute("aria-label", `Melody pad, column ${column + 1} of ${pitches.length}: ${name(pitches[column])}`);
    for (let row = 0; row < rows; row++) {
      const pitch = high - row, black = NAMES[pitch % 12].length > 1;
      make("rect", { x: 40, y: row * SIDE, width: SIDE * pitches.length, height: SIDE, fill: black ? "#eef1f4" : "#fff" }, svg);
      if (!black) make("text", { x: 34, y: row * SIDE + 12, "font-size": 11, "text-anchor": "end" }, svg).textContent = name(pitch);
    }
    pitches.forEach((pitch, i) => {
      const x = 40 + i * SIDE;
      make("line", { x1: x, x2: x, y1: 0, y2: SIDE * rows, stroke: i % 8 ? "#e6e9ed" : "#8a939c" }, svg);
      if (pitch) make("rect", { class: "note", x: x + 1, y: (high - pitch) * SIDE + 1, width: SIDE - 2, height: SIDE - 2, rx: 3, fill: "#0072B2" }, svg);
    });
    make("rect", { x: 40 + column * SIDE, y: 0, width: SIDE, height: SIDE * rows, fill: "none", stroke: "#b3261e" }, svg);
  }

  function place(event) {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const i = Math.floor(((event.clientX - box.left) * scale - 40) / SIDE);
    const pitch = high - Math.floor(((event.clientY - box.top) * scale) / SIDE);
    if (i < 0 || i >= model.get("pitches").length || pitch < low || pitch > high) return null;
    return [i, pitch];
  }

  svg.addEventListener("pointerdown", (event) => {
    const at = place(event);
    if (!at) return;
    column = at[0];
    drawing = model.get("pitches")[column] === at[1] ? 0 : 1; // 0 wipes, 1 writes
    set(column, drawing ? at[1] : 0);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const at = drawing === null ? null : place(event);
    if (!at || at[0] === column) return;
    column = at[0];
    set(column, drawing ? at[1] : 0);
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { drawing = null; });
  svg.addEventListener("keydown", (event) => {
    const pitches = model.get("pitches"), pitch = pitches[column];
    if (event.key === "ArrowLeft") column = Math.max(0, column - 1);
    else if (event.key === "ArrowRight") column = Math.min(pitches.length - 1, column + 1);
    else if (event.key === "ArrowUp") set(column, Math.min(high, pitch ? pitch + 1 : 67));
    else if (event.key === "ArrowDown") set(column, Math.max(low, pitch ? pitch - 1 : 67));
    else if (event.key === "Delete" || event.key === "Backspace") set(column, 0);
    else return;
    event.preventDefault();
    draw();
  });
  model.on("change:pitches", draw);
  draw();
  return () => model.off("change:pitches", draw);
}

export default { render };
