// A piano roll whose cursor follows its player; a click on the roll goes there. The same function serves the
// live widget and static pages, where Python copies everything above the last line into the page.

function bindPianoRoll(root) {
  const audio = root.querySelector("audio"), svg = root.querySelector("svg");
  const cursor = root.querySelector(".cursor");
  const left = +svg.dataset.left, width = +svg.dataset.width, seconds = +svg.dataset.seconds;

  function draw() {
    const x = left + width * Math.min(1, audio.currentTime / seconds);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    if (!audio.paused) requestAnimationFrame(draw);
  }
  for (const event of ["play", "pause", "seeked", "timeupdate", "ended"]) audio.addEventListener(event, draw);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    audio.currentTime = Math.max(0, Math.min(1, (x - left) / width)) * seconds;
    draw();
  });
  draw();
}

export default {
  render({ model, el }) {
    const draw = () => {
      el.innerHTML = model.get("_html");
      bindPianoRoll(el);
    };
    draw();
    model.on("change:_html", draw);
    return () => model.off("change:_html", draw);
  },
};
