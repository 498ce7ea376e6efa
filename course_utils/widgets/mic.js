// The microphone as numbered chunks of 16-bit PCM. The recorder belongs to the model, so that several views
// of it (a cell shown twice) are one microphone; `render` only draws.

const WORKLET = `
class PcmCapture extends AudioWorkletProcessor {
  constructor({ processorOptions: { chunk, limit } }) {
    super();
    this.limit = limit;               // frames to record at most
    this.pcm = new Int16Array(chunk);
    this.used = 0;                    // frames in the chunk that is being filled
    this.frame = 0;                   // where that chunk starts, counted from the first frame
    this.origin = -1;
    this.over = false;
    this.port.onmessage = () => this.end("stopped");
  }
  flush() {
    if (this.used === 0) return;
    const pcm = this.pcm.slice(0, this.used);
    this.port.postMessage({ frame: this.frame, pcm }, [pcm.buffer]);
    this.frame += this.used;
    this.used = 0;
  }
  end(reason) {
    if (this.over) return;
    this.over = true;
    this.flush();
    this.port.postMessage({ reason, frames: this.frame });
  }
  process(inputs) {
    if (this.over) return false;
    const samples = inputs[0][0];
    if (!samples) return true;        // the microphone does not deliver yet
    if (this.origin < 0) this.origin = currentFrame;
    const start = currentFrame - this.origin;
    if (start !== this.frame + this.used) {  // the browser lost some: the kernel fills the gap with zeros
      this.flush();
      this.frame = start;
    }
    for (let i = 0; i < samples.length; i++) {
      if (start + i >= this.limit) { this.end("limit"); return false; }
      this.pcm[this.used++] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
      if (this.used === this.pcm.length) this.flush();
    }
    return true;
  }
}
registerProcessor("pcm-capture", PcmCapture);
`;

// Firefox can not join a microphone to a context of another rate: then the device's rate is taken.
async function openMicrophone(stream, wantedRate) {
  const url = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  const attempts = wantedRate ? [{ sampleRate: wantedRate }, {}] : [{}];
  try {
    for (const options of attempts) {
      let context;
      try {
        context = new AudioContext(options);
        await context.audioWorklet.addModule(url);
        return { context, source: context.createMediaStreamSource(stream) };
      } catch (error) {
        await context?.close();
        if (options === attempts.at(-1)) throw error;
      }
    }
  } finally {
    URL.revokeObjectURL(url);
  }
}

function statusOf(error) {
  if (error.name === "NotAllowedError" || error.name === "SecurityError") return "denied";
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return "no-device";
  return "error";
}

function wavUrl(chunks, frames, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * frames));
  const text = (at, letters) => [...letters].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); bytes.setUint32(4, 36 + 2 * frames, true); text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true); bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true);
  bytes.setUint32(24, rate, true); bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true);
  text(36, "data"); bytes.setUint32(40, 2 * frames, true);
  const samples = new Int16Array(bytes.buffer, 44);
  for (const { frame, pcm } of chunks) samples.set(pcm, frame);
  return URL.createObjectURL(new Blob([bytes], { type: "audio/wav" }));
}

export default () => {
  const views = new Set();
  const state = { status: "idle", seconds: 0, peak: 0, loudest: 0, detail: "", replay: null };
  let stopCapture = null; // set while recording
  let recordings = 0;

  const update = (changes) => {
    Object.assign(state, changes);
    for (const draw of views) draw();
  };

  async function start(model, seconds) {
    if (state.status === "asking" || state.status === "recording") return;
    const id = `${Date.now()}.${recordings++}`;
    const fail = (status, detail) => {
      model.send({ kind: "failed", id, status, detail });
      update({ status, detail, peak: 0 });
    };
    if (state.replay) URL.revokeObjectURL(state.replay);
    update({ status: "asking", seconds: 0, loudest: 0, detail: "", replay: null });
    if (!window.isSecureContext) return fail("insecure", "");
    if (!navigator.mediaDevices || !window.AudioWorkletNode) return fail("unsupported", "");

    let stream = null, context = null;
    const release = () => {
      stopCapture = null;
      stream?.getTracks().forEach((track) => track.stop());
      context?.close();
    };
    try {
      const processing = model.get("processing");
      stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: 1,
          echoCancellation: processing || model.get("echo_cancellation"),
          noiseSuppression: processing,
          autoGainControl: processing,
        },
      });
      const opened = await openMicrophone(stream, model.get("_wanted_rate"));
      context = opened.context;
      await context.resume();
      const rate = context.sampleRate;
      const node = new AudioWorkletNode(context, "pcm-capture", {
        channelCount: 1,
        channelCountMode: "explicit",
        processorOptions: { chunk: Math.round(rate / 10), limit: Math.round(seconds * rate) },
      });
      const chunks = [];
      node.port.onmessage = ({ data }) => {
        if (data.pcm) {
          const { frame, pcm } = data;
          model.send({ kind: "chunk", id, seq: chunks.length, frame }, undefined, [pcm.buffer]);
          chunks.push({ frame, pcm });
          const peak = pcm.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) / 32768;
          update({ seconds: (frame + pcm.length) / rate, peak, loudest: Math.max(peak, state.loudest) });
        } else {
          model.send({ kind: "end", id, chunks: chunks.length, frames: data.frames, reason: data.reason });
          release();
          update({ status: "done", detail: data.reason, peak: 0, replay: wavUrl(chunks, data.frames, rate) });
        }
      };
      stopCapture = () => {
        model.send({ kind: "stopping", id }); // the last sound is still to come, so the kernel waits for it
        node.port.postMessage("stop");
      };
      stream.getAudioTracks()[0].onended = stopCapture; // the microphone was pulled out
      model.send({ kind: "start", id, rate });
      update({ status: "recording" });
      opened.source.connect(node).connect(context.destination); // the node writes nothing: silence
    } catch (error) {
      release();
      fail(statusOf(error), `${error.name}: ${error.message}`);
    }
  }

  return {
    initialize({ model }) {
      model.on("msg:custom", (message) => {
        if (message.kind === "start") start(model, message.seconds);
        if (message.kind === "stop") stopCapture?.();
      });
      model.send({ kind: "ready" });
      return () => stopCapture?.();
    },

    render({ model, el }) {
      const root = document.createElement("div");
      root.className = "course-widget mic";
      root.dataset.lmSuppressShortcuts = "true"; // keys typed here are not JupyterLab's commands
      root.innerHTML = `
        <div class="row">
          <button class="main" type="button"></button>
          <span class="time"></span>
          <div class="meter" role="meter" aria-label="Input level" aria-valuemin="-60" aria-valuemax="0"><div></div></div>
        </div>
        <audio controls hidden aria-label="Your recording"></audio>
        <div class="note" role="status"></div>`;
      const [button, time, meter, replay, note] =
        ["button", ".time", ".meter", "audio", ".note"].map((selector) => root.querySelector(selector));
      el.appendChild(root);

      button.onclick = () => (stopCapture ? stopCapture() : start(model, model.get("max_seconds")));

      const draw = () => {
        const { status, seconds, peak, loudest, detail } = state;
        const recording = status === "recording";
        root.dataset.status = status;
        button.textContent = recording ? "■ Stop" : status === "done" ? "● Again" : "● Record";
        button.setAttribute("aria-label", recording ? "Stop recording" : "Start recording");
        button.classList.toggle("live", recording);
        button.disabled = status === "asking";
        time.textContent = `${seconds.toFixed(1)} / ${model.get("max_seconds")} s`;
        const decibels = peak > 0 ? Math.max(-60, 20 * Math.log10(peak)) : -60;
        meter.setAttribute("aria-valuenow", decibels.toFixed(0));
        meter.firstChild.style.width = `${((decibels + 60) / 60) * 100}%`;
        meter.firstChild.classList.toggle("loud", peak > 0.98);
        replay.hidden = !state.replay;
        if (state.replay && replay.src !== state.replay) replay.src = state.replay;
        const texts = model.get("_texts");
        let text = texts[status] ?? "";
        if (status === "done" && loudest < 0.001) text = texts.silent;
        else if (status === "done" && loudest > 0.98) text = texts.clipped;
        else if (status === "done" && detail === "limit") text = texts.limit;
        else if (status === "error") text = `${text} (${detail})`;
        if (note.textContent !== text) note.textContent = text;
        note.classList.toggle("problem", Boolean(texts[status]) && !["idle", "asking", "recording", "done"].includes(status));
      };
      views.add(draw);
      model.on("change:max_seconds", draw);
      draw();
      return () => {
        views.delete(draw);
        model.off("change:max_seconds", draw);
      };
    },
  };
};
