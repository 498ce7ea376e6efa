// Draw a mask on a spectrogram. The kernel owns the mask: what is drawn here is a preview until its answer comes.
// The number fields do with the keyboard what the brush does with mouse or finger.

const LEFT = 46, BOTTOM = 34, TOP = 6, HEIGHT = 257;

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function render({ model, el }) {
  const [frames, bins] = model.get("_shape"), [frameSeconds, binHertz] = model.get("_steps");
  const seconds = model.get("_seconds"), top = (bins - 1) * binHertz;
  const decibels = bytes(model.get("_decibels")), colours = bytes(model.get("_colours"));
  const removed = model.get("_removed"), strength = model.get("_strength");
  const picture = make("canvas", { width: frames, height: bins });
  const pixels = new ImageData(frames, bins);
  let mask = null, stroke = null, hover = null, width = 0, waiting = false;

  // --- parts ---------------------------------------------------------------------------------------------

  const root = make("div", { className: "course-widget mask-pad" });
  const slider = (label, min, max, step, value, unit) => {
    const input = make("input", { type: "range", min, max, step, value, ariaLabel: label, style: "min-width:40px" });
    const output = make("output", { className: "time", style: "min-width:36px" });
    const show = () => (output.textContent = input.value + unit);
    input.addEventListener("input", show);
    show();
    return [input, make("label", { style: "flex:1 1 170px;min-width:0" }, make("span", { textContent: label, style: "white-space:nowrap" }), input, output)];
  };
  const [size, sizeLabel] = slider("Brush size", 4, 80, 1, 24, " px");
  const [gain, gainLabel] = slider("Brush gain", 0, 1, 0.1, 0, "");
  const button = (name, onclick) => make("button", { type: "button", onclick }, name);
  const canvas = make("canvas", { style: "display:block;width:100%;margin:8px 0;cursor:crosshair;touch-action:none" });
  canvas.setAttribute("role", "img");
  const field = (label, value, max, step) =>
    make("input", { type: "number", min: 0, max, step, value, ariaLabel: label, style: "width:70px;font:inherit" });
  const from = field("From second", 0, seconds.toFixed(2), 0.01), to = field("To second", seconds.toFixed(2), seconds.toFixed(2), 0.01);
  const low = field("From hertz", 0, top, 50), high = field("To hertz", top, top, 50);
  const number = (input) => (input.value === "" ? null : Number(input.value));
  const rectangle = make("div", { className: "row", role: "group", ariaLabel: "Rectangle by numbers" },
    make("span", {}, "Rectangle"),
    make("label", {}, from, "to", to, "s"),
    make("label", {}, low, "to", high, "Hz"),
    button("Paint rectangle", () => model.send({
      kind: "paint",
      seconds: [number(from), number(to)],
      hertz: [number(low), number(high)],
      gain: Number(gain.value),
    })));
  const note = make("div", { className: "note", role: "status" });
  const problem = make("div", { className: "note problem", role: "alert" });
  root.append(
    make("div", { className: "row" }, sizeLabel, gainLabel,
      button("Undo", () => model.send({ kind: "undo" })), button("Clear", () => model.send({ kind: "clear" }))),
    canvas, rectangle, note, problem);
  // Keys typed here are not JupyterLab's commands: it asks the focused element first, so each says so itself.
  for (const element of [root, ...root.querySelectorAll("input, button")]) element.dataset.lmSuppressShortcuts = "true";

  // --- drawing -------------------------------------------------------------------------------------------

  const radius = () => [(size.value / 2 / width) * seconds, (size.value / 2 / HEIGHT) * top];

  // As `MaskPad.brush` does in the kernel.
  function dab([second, hertz], [radiusSeconds, radiusHertz], value) {
    const t = second / frameSeconds, f = hertz / binHertz;
    const rt = Math.max(radiusSeconds / frameSeconds, 0.75), rf = Math.max(radiusHertz / binHertz, 0.75);
    for (let i = Math.max(0, Math.ceil(t - rt)); i <= Math.min(frames - 1, Math.floor(t + rt)); i++)
      for (let k = Math.max(0, Math.ceil(f - rf)); k <= Math.min(bins - 1, Math.floor(f + rf)); k++)
        if (((i - t) / rt) ** 2 + ((k - f) / rf) ** 2 <= 1) mask[i * bins + k] = value;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left - LEFT, y = event.clientY - box.top - TOP;
    return [(x / width) * seconds, (1 - y / HEIGHT) * top];
  }

  function draw() {
    waiting = false;
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    width = Math.max(50, box.width - LEFT - 8);
    canvas.width = Math.round((width + LEFT + 8) * ratio);
    canvas.height = Math.round((HEIGHT + TOP + BOTTOM) * ratio);
    canvas.style.height = `${HEIGHT + TOP + BOTTOM}px`;
    for (let i = 0; i < frames; i++)
      for (let k = 0; k < bins; k++) {
        const cover = strength * (1 - mask[i * bins + k] / 255);
        const from = 3 * decibels[i * bins + k], at = 4 * ((bins - 1 - k) * frames + i);
        for (let c = 0; c < 3; c++) pixels.data[at + c] = (1 - cover) * colours[from + c] + cover * removed[c];
        pixels.data[at + 3] = 255;
      }
    picture.getContext("2d").putImageData(pixels, 0, 0);

    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width + LEFT + 8, HEIGHT + TOP + BOTTOM);
    pen.imageSmoothingEnabled = false;
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, TOP, width, HEIGHT);
    pen.clip();
    // A frame is centred on its moment, so the picture begins half a frame before 0 and ends half a frame late.
    const perFrame = (frameSeconds / seconds) * width, perBin = HEIGHT / (bins - 1);
    pen.drawImage(picture, LEFT - perFrame / 2, TOP - perBin / 2, perFrame * frames, HEIGHT + perBin);
    if (hover) {
      const x = LEFT + (hover[0] / seconds) * width, y = TOP + (1 - hover[1] / top) * HEIGHT;
      for (const [colour, line] of [["#000", 3], ["#fff", 1.5]]) {
        Object.assign(pen, { strokeStyle: colour, lineWidth: line });
        pen.beginPath();
        pen.arc(x, y, size.value / 2, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
    pen.restore();

    Object.assign(pen, { fillStyle: "#4a535c", strokeStyle: "#4a535c", lineWidth: 1, font: "12px system-ui, sans-serif" });
    Object.assign(pen, { textAlign: "right", textBaseline: "middle" });
    for (let hertz = 0; hertz <= top; hertz += 2000)
      pen.fillText(hertz ? `${hertz / 1000} kHz` : "0", LEFT - 5, Math.min(TOP + HEIGHT - 5, TOP + 6 + (1 - hertz / top) * (HEIGHT - 6)));
    Object.assign(pen, { textAlign: "center", textBaseline: "top" });
    const step = [0.1, 0.2, 0.5, 1, 2, 5].find((each) => seconds / each <= 10) ?? 5;
    for (let count = 0; count * step <= seconds; count++) {
      const x = LEFT + ((count * step) / seconds) * width;
      pen.fillRect(Math.round(x), TOP + HEIGHT, 1, 4);
      pen.fillText(String(Number((count * step).toFixed(1))), x, TOP + HEIGHT + 6);
    }
    pen.textAlign = "right";
    pen.fillText("time (s)", LEFT + width, TOP + HEIGHT + 20);
    pen.textAlign = "left";
    pen.fillText("Blue: removed. A gain of 0 removes, 1 keeps.", LEFT, TOP + HEIGHT + 20);
  }

  const redraw = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };

  // --- what the learner does -----------------------------------------------------------------------------

  function goTo(point) {
    const last = stroke.points.at(-1) ?? point;
    const steps = Math.max(...[0, 1].map((axis) => Math.ceil(Math.abs(point[axis] - last[axis]) / (stroke.radius[axis] / 2))), 1);
    for (let step = 1; step <= steps; step++) {
      const between = last.map((value, axis) => value + ((point[axis] - value) * step) / steps);
      stroke.points.push(between);
      dab(between, stroke.radius, 255 * stroke.gain);
    }
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    stroke = { kind: "brush", points: [], radius: radius(), gain: Number(gain.value) };
    goTo((hover = place(event)));
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    hover = place(event);
    if (stroke) goTo(hover);
    redraw();
  });
  const finish = () => {
    if (stroke) model.send(stroke);
    stroke = null;
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    redraw();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && event.target.type !== "number") {
      event.preventDefault();
      model.send({ kind: "undo" });
    }
  });

  // --- what the kernel says ------------------------------------------------------------------------------

  const refresh = () => {
    mask = bytes(model.get("_mask")).slice();
    stroke?.points.forEach((point) => dab(point, stroke.radius, 255 * stroke.gain)); // one that is under way
    note.textContent = model.get("_note");
    problem.textContent = model.get("_problem");
    problem.hidden = !model.get("_problem");
    canvas.setAttribute("aria-label",
      `Spectrogram of ${seconds.toFixed(1)} seconds, 0 to ${top / 1000} kHz, with a mask. ${model.get("_note")} ` +
      "Paint with mouse or finger, or with the number fields below.");
    redraw();
  };
  const EVENTS = "change:_mask change:_note change:_problem";
  model.on(EVENTS, refresh);
  el.appendChild(root);
  const resized = new ResizeObserver(redraw);
  resized.observe(root);
  refresh();
  return () => {
    model.off(EVENTS, refresh);
    resized.disconnect();
  };
}

export default { render };
