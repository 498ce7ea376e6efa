// The noise remover of notebook 01: STFT, one call of the network for each frame of 16 ms, inverse STFT.
import { STFT, ISTFT, concat } from "./dsp.js";

export const files = () => ["models/enhancement.onnx"];

const ROWS = 64; // of a picture's column: 4 bins each

function column(spectrum) {
  const rows = new Uint8Array(ROWS);
  for (let r = 0; r < ROWS; r++) {
    let power = 0;
    for (let k = 4 * r; k < 4 * r + 4; k++) power = Math.max(power, spectrum[2 * k] ** 2 + spectrum[2 * k + 1] ** 2);
    rows[r] = Math.max(0, Math.min(255, 255 * (1 + Math.log10(power + 1e-12) / 5 - 0.2))); // 50 dB
  }
  return rows;
}

const decibels = (spectrum) => 10 * Math.log10(spectrum.reduce((sum, x) => sum + x * x, 0) + 1e-9);

export function create(ort, { "enhancement.onnx": session }) {
  let stft, istft, state, length;
  const { shape } = session.inputMetadata.find((one) => one.name === "state");

  async function enhance(frames) {
    const enhanced = [], times = [];
    for (const frame of frames) {
      const begin = performance.now();
      const out = await session.run({ frame: new ort.Tensor("float32", frame, [frame.length / 2, 2]), state });
      state = out.next_state;
      times.push(performance.now() - begin);
      enhanced.push(out.enhanced.data.slice());
    }
    return {
      samples: istft.push(enhanced),
      times,
      before: frames.map(column),
      after: enhanced.map(column),
      levels: frames.map((frame, i) => [decibels(frame), decibels(enhanced[i])]),
    };
  }

  return {
    begin() {
      [stft, istft, length] = [new STFT(), new ISTFT(), 0];
      state = new ort.Tensor("float32", new Float32Array(shape[0]), shape);
    },
    push(samples) {
      length += samples.length;
      return enhance(stft.push(samples));
    },
    async finish() {
      const rest = await enhance(stft.finish());
      return { ...rest, samples: concat(rest.samples, istft.finish(length)) };
    },
  };
}
