// Phones and their durations under the spectrogram. An edge that is dragged here becomes a duration in the kernel,
// which sends the spectrogram of it back.

const SVG = "http://www.w3.org/2000/svg";
const PICTURE = 150, BOX = 42, LEAST = 6, LONGEST = 250;

function make(kind, attributes, parent) {
  const node = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return parent.appendChild(node);
}

function render({ model, el }) {
  el.innerHTML =
    '<div class="course-widget"><div class="strip" style="overflow-x:auto"><div tabindex="0" role="application"></div></div>' +
    '<div class="note">Drag the right edge of a phone. With the keyboard: left and right choose, up and down change by one frame.</div></div>';
  const area = el.querySelector("[tabindex]");
  area.dataset.lmSuppressShortcuts = "true"; // arrow keys are for the phones, not for JupyterLab
  let drag = null; // { phone, x, from, frames, scale } while an edge is held

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const fit = (frames) => Math.max(LEAST, ((area.clientWidth || 640) - 1) / Math.max(1, sum(frames)));

  function change(frames, phone) {
    model.set("selected", phone);
    model.set("frames", frames);
    model.save_changes();
  }

  function select(phone) {
    model.set("selected", phone);
    model.save_changes();
  }

  function draw() {
    const frames = drag ? drag.frames : model.get("frames"), heard = model.get("_heard");
    const phones = model.get("phones"), semitones = model.get("semitones"), selected = model.get("selected");
    const milliseconds = model.get("_frame_ms"), scale = drag ? drag.scale : fit(frames);
    const width = Math.max(sum(frames), drag ? sum(heard) : 0) * scale;
    const describe = (i) => `${phones[i]}, ${Math.round(frames[i] * milliseconds)} ms` + (semitones[i] ? `, ${semitones[i] > 0 ? "+" : ""}${semitones[i]} semitones` : "");
    area.replaceChildren();
    area.setAttribute("aria-label", `Phones with durations; phone ${selected + 1} of ${phones.length}: ${describe(selected)}`);
    const svg = make("svg", { width, height: PICTURE + BOX, style: "display:block;touch-action:none;user-select:none" }, area);
    if (model.get("_picture")) {
      const image = make("image", { href: model.get("_picture"), width: sum(heard) * scale, height: PICTURE, preserveAspectRatio: "none" }, svg);
      make("title", {}, image).textContent = model.get("_alt");
    }
    let at = 0;
    const edges = [];
    phones.forEach((phone, i) => {
      const x = at * scale, wide = frames[i] * scale, chosen = i === selected;
      const group = make("g", { class: "phone", "data-phone": i, style: "cursor:pointer" }, svg);
      make("title", {}, group).textContent = describe(i);
      make("rect", { x: x + 0.5, y: PICTURE + 1, width: Math.max(1, wide - 1), height: BOX - 2, fill: chosen ? "#cfe3f5" : "#f1f4f7", stroke: chosen ? "#0b62b4" : "#c9d0d7" }, group);
      const short = wide < 26 ? phone.replace(/\d/, "") : phone;
      if (wide >= 11 * short.length * 0.6)
        make("text", { x: x + wide / 2, y: PICTURE + 17, "font-size": 11, "text-anchor": "middle", fill: "#1d2329" }, group).textContent = short;
      const below = semitones[i] ? `${semitones[i] > 0 ? "+" : ""}${semitones[i]}` : wide >= 24 ? Math.round(frames[i] * milliseconds) : "";
      make("text", { x: x + wide / 2, y: PICTURE + 33, "font-size": 9, "text-anchor": "middle", fill: semitones[i] ? "#D55E00" : "#4a535c" }, group).textContent = below;
      group.addEventListener("pointerdown", () => select(i));
      at += frames[i];
      edges.push([i, at * scale]);
    });
    // Edges last, so that they lie above the boxes.
    for (const [i, x] of edges) {
      make("line", { x1: x, x2: x, y1: 0, y2: PICTURE + BOX, stroke: i === selected ? "#56B4E9" : "#fff", "stroke-width": i === selected ? 2 : 0.8, "stroke-opacity": 0.85 }, svg);
      const handle = make("rect", { class: "edge", "data-phone": i, x: x - 4, y: 0, width: 8, height: PICTURE + BOX, fill: "transparent", style: "cursor:ew-resize" }, svg);
      handle.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        area.setPointerCapture(event.pointerId); // of what stays: the handles are drawn anew
        area.focus({ preventScroll: true });
        drag = { phone: i, x: event.clientX, from: frames[i], frames: [...frames], scale };
        model.set("selected", i);
        draw();
      });
    }
  }

  area.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const moved = Math.round((event.clientX - drag.x) / drag.scale);
    drag.frames[drag.phone] = Math.max(1, Math.min(LONGEST, drag.from + moved));
    draw();
  });
  const finish = () => {
    if (!drag) return;
    const { frames, phone } = drag;
    drag = null;
    change(frames, phone);
    draw();
  };
  area.addEventListener("pointerup", finish);
  area.addEventListener("pointercancel", finish);
  area.addEventListener("keydown", (event) => {
    const phone = model.get("selected"), frames = [...model.get("frames")];
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key], move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step && !move) return;
    event.preventDefault();
    if (move) return select(Math.max(0, Math.min(frames.length - 1, phone + move)));
    frames[phone] = Math.max(1, Math.min(LONGEST, frames[phone] + step));
    change(frames, phone);
  });
  const events = "change:phones change:frames change:semitones change:selected change:_picture change:_heard";
  const refresh = () => drag || draw();
  model.on(events, refresh);
  const room = new ResizeObserver(refresh); // the width is known once it is on the page
  room.observe(area.parentElement);
  draw();
  return () => {
    room.disconnect();
    model.off(events, refresh);
  };
}

export default { render };
