// The map of speakers: the kernel draws it and says who is mixed; here it is only clicked.

function render({ model, el }) {
  el.innerHTML =
    '<div class="course-widget" style="padding:6px"><div tabindex="0" role="application" style="cursor:crosshair;touch-action:none"></div></div>';
  const map = el.firstChild.firstChild;
  map.dataset.lmSuppressShortcuts = "true"; // arrow keys are for the map, not for JupyterLab

  function pick(x, y) {
    model.set("at", [x, y]);
    model.save_changes();
  }

  function draw() {
    map.innerHTML = model.get("_svg");
    map.setAttribute("aria-label", `Map of voices, chosen: ${model.get("_about")}. Arrow keys move.`);
  }

  map.addEventListener("click", ({ clientX, clientY }) => {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(map.firstChild.getScreenCTM().inverse());
    pick(x, -y); // y goes down in SVG
    map.focus({ preventScroll: true });
  });
  map.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.02 : 0.1;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const [x, y] = model.get("at");
    pick(x + step * move[0], y + step * move[1]);
  });
  model.on("change:_svg change:_about", draw);
  draw();
  return () => model.off("change:_svg change:_about", draw);
}

export default { render };
