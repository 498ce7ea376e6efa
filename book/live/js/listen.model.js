// The recognisers of notebook 03: log-mel, the network in chunks of 160 ms with a state, and a search for the text.
import { LogMel, MELS, concat } from "./dsp.js";
import { Endpointer, Greedy, WordGraph } from "./decoders.js";

export const files = ({ recogniser }) => [`models/${recogniser}.onnx`, `models/${recogniser}.json`];

const SILENCE = -4, TAIL = 30; // frames of silence after the end, in which late units come

export function create(ort, loaded, { recogniser }) {
  const session = loaded[`${recogniser}.onnx`], facts = loaded[`${recogniser}.json`], size = 2 * facts.chunk;
  const [, ...states] = session.inputMetadata;
  const Decoder = facts.words ? WordGraph : Greedy;
  let mel, state, frames, decoder, endpointer, probabilities;

  const fresh = ({ type, shape }) => {
    const count = shape.reduce((product, n) => product * n, 1);
    return new ort.Tensor(type, type === "int64" ? new BigInt64Array(count) : new Float32Array(count), shape);
  };
  const nextUtterance = () => ([decoder, endpointer] = [new Decoder(facts), new Endpointer()]);

  // Whole chunks through the network; what is left waits for more.
  async function hear() {
    const rows = [], times = [], width = facts.units.length + 1;
    while (frames.length >= size) {
      const begin = performance.now(), chunk = concat(...frames.splice(0, size));
      const out = await session.run({ log_mel: new ort.Tensor("float32", chunk, [1, size, MELS]), ...state });
      for (const { name } of states) state[name] = out[`next_${name}`];
      for (let i = 0; i < facts.chunk; i++) rows.push(out.units.data.slice(i * width, (i + 1) * width));
      times.push((performance.now() - begin) / size);
    }
    decoder.push(rows);
    probabilities.push(...rows);
    probabilities.splice(0, probabilities.length - 2000);
    return { times, endpoint: endpointer.push(rows) };
  }

  return {
    begin() {
      [mel, frames, probabilities] = [new LogMel(), [], []];
      state = Object.fromEntries(states.map((one) => [one.name, fresh(one)]));
      nextUtterance();
    },
    // -> what is understood of this utterance: { text, stable, over, times }
    async push(samples) {
      frames.push(...mel.push(samples));
      const { times, endpoint } = await hear();
      if (!endpoint) return { ...decoder.partial(), times, over: false };
      const final = decoder.finish();
      nextUtterance();
      return { ...final, times, over: true };
    },
    async finish() {
      frames.push(...mel.finish());
      let missing = frames.length % 2 + TAIL;
      missing += (size - ((frames.length + missing) % size)) % size;
      for (let i = 0; i < missing; i++) frames.push(new Float32Array(MELS).fill(SILENCE));
      const { times } = await hear();
      return { ...decoder.finish(), times, over: true };
    },
    // for the tests: the log-probabilities of all steps so far
    probabilities: () => concat(...probabilities),
  };
}
