// Clips that play in step: all sources start at one time of one clock, and a switch only turns gains.
// The sound belongs to the model; `render` only draws.

const BUSY = "course-player-starts"; // one player at a time: the others pause

async function openContext(rate) {
  try {
    return new AudioContext({ sampleRate: rate }); // the browser's own resampler, for all clips alike
  } catch {
    return new AudioContext();
  }
}

export default () => {
  const views = new Set();
  const state = { playing: false, loop: false, selected: 0, offset: 0 };
  let context = null, master = null, voices = [], startedAt = 0, loading = null;

  const draw = () => views.forEach((view) => view());
  const length = (model) => model.get("_seconds");
  const wavs = (model) => {
    const hidden = model.get("_hidden");
    return hidden.byteLength ? [...model.get("_wavs"), hidden] : model.get("_wavs");
  };

  function position(model) {
    if (!state.playing) return state.offset;
    const passed = state.offset + Math.max(0, context.currentTime - startedAt);
    return state.loop ? passed % length(model) : Math.min(passed, length(model));
  }

  async function load(model) {
    if (!context) {
      context = await openContext(model.get("_rate"));
      master = context.createGain();
      master.connect(context.destination);
    }
    await context.resume();
    return Promise.all(
      wavs(model).map((wav) =>
        context.decodeAudioData(wav.buffer.slice(wav.byteOffset, wav.byteOffset + wav.byteLength))),
    );
  }

  function silence() {
    for (const { source, gain } of voices) {
      source.onended = null;
      source.stop();
      gain.disconnect();
    }
    voices = [];
  }

  function pause(model) {
    if (!state.playing) return;
    state.offset = position(model);
    state.playing = false;
    silence();
    draw();
  }

  async function play(model) {
    window.dispatchEvent(new CustomEvent(BUSY, { detail: model }));
    loading ??= load(model);
    const buffers = await loading;
    if (state.offset >= length(model)) state.offset = 0;
    // One start for all, far enough ahead that all know of it in time; on a busy machine, once more and later.
    for (let lead = 0.03; lead < 2; lead *= 3) {
      silence();
      startedAt = context.currentTime + lead;
      voices = buffers.map((buffer, index) => {
        const source = new AudioBufferSourceNode(context, { buffer, loop: state.loop });
        const gain = new GainNode(context, { gain: index === state.selected ? 1 : 0 });
        source.connect(gain).connect(master);
        source.start(startedAt, state.offset);
        return { source, gain };
      });
      if (context.currentTime < startedAt) break;
    }
    voices[0].source.onended = () => {
      state.offset = length(model);
      pauseAtEnd();
    };
    state.playing = true;
    draw();
  }

  function pauseAtEnd() {
    state.playing = false;
    silence();
    draw();
  }

  function restart(model, change) {
    const playing = state.playing;
    state.offset = position(model);
    change();
    if (playing) play(model);
    else draw();
  }

  function select(index) {
    state.selected = index;
    voices.forEach(({ gain }, i) => {
      const now = context.currentTime;
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(i === index ? 1 : 0, now + 0.005); // 5 ms: no click
    });
    draw();
  }

  return {
    initialize({ model }) {
      const other = ({ detail }) => detail !== model && pause(model);
      window.addEventListener(BUSY, other);
      model.on("change:_trial", () => {
        pause(model);
        state.offset = 0;
        loading = null; // another X
        draw();
      });
      return () => {
        window.removeEventListener(BUSY, other);
        silence();
        context?.close();
      };
    },

    render({ model, el }) {
      const names = model.get("_names");
      const blind = model.get("_blind");
      const make = (tag, properties = {}, ...children) => {
        const element = Object.assign(document.createElement(tag), properties);
        element.append(...children);
        return element;
      };
      const root = make("div", { className: `course-widget player${blind ? " blind" : ""}` });
      if (model.get("_transcript"))
        root.append(make("div", { className: "transcript", textContent: `“${model.get("_transcript")}”` }));

      const cursors = [];
      const shown = blind ? [...names, "X"] : names;
      const buttons = shown.map((name, index) => {
        const button = make("button", { type: "button", onclick: () => select(index) }, name);
        button.append(make("small", { textContent: model.get("_labels")[index] ?? "" }));
        return button;
      });
      const clips = make("div", { className: "clips", role: "group", ariaLabel: "Clip that is heard" });
      shown.forEach((name, index) => {
        const row = make("div", { className: "clip" }, buttons[index]);
        const source = model.get("_pictures")[index];
        if (source) {
          const cursor = make("div");
          const picture = make("div", { className: "picture" },
            make("img", { src: source, alt: model.get("_alts")[index], draggable: false }), cursor);
          picture.onclick = ({ clientX }) => {
            const { left, width } = picture.getBoundingClientRect();
            select(index);
            restart(model, () => (state.offset = ((clientX - left) / width) * length(model)));
          };
          cursors.push(cursor);
          row.append(picture);
        }
        clips.append(row);
      });

      const playButton = make("button", {
        className: "main", type: "button", onclick: () => (state.playing ? pause(model) : play(model)),
      });
      const seek = make("input", {
        type: "range", min: 0, max: length(model), step: 0.01, ariaLabel: "Position in seconds",
        oninput: () => restart(model, () => (state.offset = Number(seek.value))),
      });
      const time = make("span", { className: "time" });
      const loop = make("input", {
        type: "checkbox", onchange: () => restart(model, () => (state.loop = loop.checked)),
      });
      const scale = make("div", {
        className: "note scale",
        hidden: !cursors.length,
        textContent: "Log-mel spectrograms, 80 to 7600 Hz from bottom to top, one colour scale of 80 dB.",
      });
      root.append(clips, scale, make("div", { className: "row" }, playButton, seek, time, make("label", {}, loop, "loop")));

      let guesses = [];
      const score = make("div", { className: "note score", role: "status" });
      if (blind) {
        guesses = names.map((name, index) =>
          make("button", {
            type: "button",
            ariaLabel: `X is ${name}`,
            onclick: () => {
              guesses.forEach((button) => (button.disabled = true)); // until the next X is here
              model.send({ kind: "guess", trial: model.get("_trial"), index });
            },
          }, name));
        root.append(make("div", { className: "row" }, make("span", { textContent: "X is" }), ...guesses));
      }
      root.append(score);
      root.onkeydown = (event) => {
        const index = Number(event.key) - 1;
        if (index in buttons && !event.ctrlKey && !event.metaKey && !event.altKey) select(index);
      };

      const place = () => {
        const at = position(model);
        if (document.activeElement !== seek || state.playing) seek.value = at;
        seek.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds`);
        time.textContent = `${at.toFixed(1)} / ${length(model).toFixed(1)} s`;
        for (const cursor of cursors) cursor.style.left = `${(at / length(model)) * 100}%`;
        if (state.playing && root.isConnected) requestAnimationFrame(place);
      };
      let moving = false;
      const view = () => {
        playButton.textContent = state.playing ? "❚❚ Pause" : "▶ Play";
        playButton.setAttribute("aria-label", state.playing ? "Pause" : "Play");
        root.dataset.playing = state.playing;
        loop.checked = state.loop;
        buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === state.selected));
        if (!state.playing || !moving) place();
        moving = state.playing;
      };
      const refresh = () => {
        score.textContent = model.get("_note");
        score.hidden = !model.get("_note");
        guesses.forEach((button) => (button.disabled = false));
      };
      views.add(view);
      model.on("change:_trial change:_note", refresh);
      // Keys typed here are not JupyterLab's commands. It asks the focused element first, so each one says it.
      for (const element of [root, ...root.querySelectorAll("input, button")]) element.dataset.lmSuppressShortcuts = "true";
      el.appendChild(root);
      refresh();
      view();
      return () => {
        views.delete(view);
        model.off("change:_trial change:_note", refresh);
      };
    },
  };
};
