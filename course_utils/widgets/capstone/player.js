// Plays numbered pieces of 16-bit PCM one after the other, without gaps, and stops at once when told to. The sound
// belongs to the model, so that several views of it are one loudspeaker; `render` only draws.

export default () => {
  const views = new Set();
  const state = { status: "silent", peak: 0, loudest: 0, played: 0 };
  const sources = new Set();
  const waiting = new Map(); // pieces that came before the one that is due
  let context = null, meter = null, free = 0, reply = -1, due = 0, stopped = -1, timer = null;

  const update = (changes) => {
    Object.assign(state, changes);
    for (const draw of views) draw();
  };

  function open() {
    context = new AudioContext();
    meter = new AnalyserNode(context, { fftSize: 2048 });
    meter.connect(context.destination);
  }

  function watch() {
    if (timer !== null) return;
    const samples = new Float32Array(meter.fftSize);
    timer = setInterval(() => {
      meter.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      update({ peak, loudest: Math.max(peak, state.loudest) });
      if (sources.size === 0) {
        clearInterval(timer);
        timer = null;
        update({ status: "silent", peak: 0 });
      }
    }, 80);
  }

  function silence() {
    waiting.clear();
    for (const source of sources) source.stop();
    sources.clear();
  }

  function play(pcm, rate) {
    if (context === null) open();
    context.resume(); // allowed, because a button was pressed on this page
    const buffer = context.createBuffer(1, pcm.length, rate);
    const samples = buffer.getChannelData(0);
    for (let i = 0; i < pcm.length; i++) samples[i] = pcm[i] / 32768;
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(meter);
    source.onended = () => sources.delete(source);
    free = Math.max(free, context.currentTime + 0.02);
    source.start(free);
    free += buffer.duration;
    sources.add(source);
    update({ status: "speaking", played: state.played + 1 });
    watch();
  }

  return {
    initialize({ model }) {
      model.on("msg:custom", (message, buffers) => {
        if (message.kind === "stop") {
          stopped = Math.max(stopped, message.reply);
          silence();
          free = 0;
        } else if (message.kind === "piece" && message.reply > stopped && message.reply >= reply) {
          if (message.reply > reply) {
            [reply, due] = [message.reply, 0];
            waiting.clear();
          }
          const view = buffers[0];
          const bytes = view.buffer ? view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) : view;
          waiting.set(message.seq, [new Int16Array(bytes), message.rate]);
          while (waiting.has(due)) {
            const [pcm, rate] = waiting.get(due);
            waiting.delete(due++);
            play(pcm, rate);
          }
        }
      });
      return () => {
        silence();
        context?.close();
      };
    },

    render({ model, el }) {
      const root = document.createElement("div");
      root.className = "course-widget speaker";
      root.innerHTML = `
        <div class="row">
          <button type="button" disabled>■ Stop the reply</button>
          <span class="time"></span>
          <div class="meter" role="meter" aria-label="Level of the reply" aria-valuemin="-60" aria-valuemax="0"><div></div></div>
        </div>`;
      const [button, word, bar] = ["button", ".time", ".meter"].map((selector) => root.querySelector(selector));
      el.appendChild(root);
      button.onclick = () => {
        stopped = reply;
        silence();
        free = 0;
        model.send({ kind: "stopped", reply });
      };
      const draw = () => {
        const { status, peak, loudest, played } = state;
        root.dataset.status = status;
        root.dataset.loudest = loudest.toFixed(3);
        root.dataset.played = played;
        button.disabled = status !== "speaking";
        word.textContent = status === "speaking" ? "replying" : "silent";
        const decibels = peak > 0 ? Math.max(-60, 20 * Math.log10(peak)) : -60;
        bar.setAttribute("aria-valuenow", decibels.toFixed(0));
        bar.firstChild.style.width = `${((decibels + 60) / 60) * 100}%`;
      };
      views.add(draw);
      draw();
      return () => views.delete(draw);
    },
  };
};
