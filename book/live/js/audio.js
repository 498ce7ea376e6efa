// Sound into the page and out of it. Inside the page sound is always Float32Array, mono, 16 kHz.
import { Resampler, SAMPLE_RATE, concat } from "./dsp.js";

const worklet = (name) => new URL(`./${name}.worklet.js`, import.meta.url);

export class SoundError extends Error {}

const MICROPHONE = {
  NotAllowedError: "The browser may not use the microphone. Allow it in the address bar (the lock or the microphone sign)",
  SecurityError: "The browser may not use the microphone on this page",
  NotFoundError: "There is no microphone. Plug one in",
  NotReadableError: "Another program holds the microphone. Close it",
};

// The microphone as chunks of samples. `onChunk` gets each; `stop()` resolves when the last one was given.
export async function openMicrophone(onChunk, onLost) {
  if (!window.isSecureContext || !navigator.mediaDevices)
    throw new SoundError("Browsers give the microphone only to pages from https:// or from localhost, and this one is neither");
  if (!window.AudioWorkletNode) throw new SoundError("This browser has no AudioWorklet, so it can not give sound to a page");
  let stream, context;
  try {
    // The browser's own noise suppression is off: the course's is on trial here.
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
    let source;
    for (const options of [{ sampleRate: SAMPLE_RATE }, {}]) {
      // Firefox can not join a microphone to a context of another rate: then the device's own is taken.
      context = new AudioContext(options);
      try {
        source = context.createMediaStreamSource(stream);
        break;
      } catch (error) {
        await context.close();
        if (!options.sampleRate) throw error;
      }
    }
    await context.audioWorklet.addModule(worklet("capture"));
    await context.resume();
    const resampler = new Resampler(context.sampleRate);
    const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    let ended;
    const end = new Promise((resolve) => (ended = resolve));
    node.port.onmessage = ({ data }) => {
      const samples = data ? resampler.push(data) : resampler.finish();
      if (samples.length) onChunk(samples);
      if (!data) ended();
    };
    stream.getAudioTracks()[0].onended = () => onLost?.();
    source.connect(node).connect(context.destination); // the node writes nothing: silence
    return {
      async stop() {
        node.port.postMessage("stop");
        await Promise.race([end, new Promise((resolve) => setTimeout(resolve, 1000))]); // a device that is gone is silent
        stream.getTracks().forEach((track) => track.stop());
        await context.close();
      },
    };
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    if (context && context.state !== "closed") await context.close();
    throw new SoundError(MICROPHONE[error.name] ?? `The microphone could not be opened (${error.name}: ${error.message})`);
  }
}

const LARGEST = 200e6; // bytes: a browser decodes a file as a whole

// A sound file as samples: decoded by the browser, at 16 kHz, channels averaged.
export async function decode(bytes, name) {
  if (bytes.byteLength > LARGEST)
    throw new SoundError(`${name} has more than ${LARGEST / 1e6} MB, too much for one piece: cut it first`);
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(bytes);
  } catch {
    throw new SoundError(`${name} is no sound that this browser can read. WAV, FLAC and MP3 work everywhere`);
  }
  if (buffer.length === 0) throw new SoundError(`${name} holds no sound`);
  const mono = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    const channel = buffer.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / buffer.numberOfChannels;
  }
  return mono;
}

// Plays samples as they come.
export class Player {
  static async open(onPlayed) {
    const player = new Player();
    player.context = new AudioContext({ sampleRate: SAMPLE_RATE });
    await player.context.audioWorklet.addModule(worklet("player"));
    await player.context.resume();
    player.node = new AudioWorkletNode(player.context, "player", { numberOfInputs: 0 });
    player.over = new Promise((resolve) => (player.resolve = resolve));
    player.node.port.onmessage = ({ data }) => {
      if (data.over) player.resolve();
      else onPlayed?.(data.played / SAMPLE_RATE);
    };
    player.node.connect(player.context.destination);
    return player;
  }
  push(samples, options = {}) { this.node.port.postMessage({ samples, ...options }); }
  end() { this.node.port.postMessage({ end: true }); }
  async close() {
    this.resolve();
    this.node.disconnect();
    if (this.context.state !== "closed") await this.context.close();
  }
}

// Sound that is kept as 16-bit numbers in Blobs, which the browser may put on the disk: an hour is 115 MB.
export class Recording {
  // `comment` is written into the file: what a network has made says so.
  constructor(comment = "") {
    this.comment = comment;
    this.parts = [];
    this.fresh = [];
    this.length = this.waiting = 0;
  }
  push(samples) {
    this.fresh.push(samples.slice());
    this.length += samples.length;
    this.waiting += samples.length;
    if (this.waiting > 10 * SAMPLE_RATE) this.settle();
  }
  settle() {
    const pcm = Int16Array.from(concat(...this.fresh), (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32767))));
    this.parts.push(new Blob([pcm]));
    this.fresh = [];
    this.waiting = 0;
  }
  wav() {
    this.settle();
    const note = this.comment.padEnd(2 * Math.ceil((this.comment.length + 1) / 2), "\0"), extra = this.comment ? 20 + note.length : 0;
    const bytes = new DataView(new ArrayBuffer(44 + extra)), size = 2 * this.length;
    const text = (at, letters) => [...letters].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
    text(0, "RIFF"); bytes.setUint32(4, 36 + extra + size, true); text(8, "WAVEfmt ");
    bytes.setUint32(16, 16, true); bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true);
    bytes.setUint32(24, SAMPLE_RATE, true); bytes.setUint32(28, 2 * SAMPLE_RATE, true);
    bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true);
    if (extra) {
      text(36, "LIST"); bytes.setUint32(40, extra - 8, true); text(44, "INFOICMT"); bytes.setUint32(52, note.length, true);
      text(56, note);
    }
    text(36 + extra, "data"); bytes.setUint32(40 + extra, size, true);
    return new Blob([bytes, ...this.parts], { type: "audio/wav" });
  }
}
