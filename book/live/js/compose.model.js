// The transformer of notebook 02: it reads what stands there, step by step, and draws the next four notes.
import { concat } from "./dsp.js";
import { synthesise } from "./music.js";
import { random } from "./random.js";

const NETWORKS = ["step", "voice0", "voice1", "voice2", "voice3"];
export const files = () => [...NETWORKS.map((name) => `models/${name}.onnx`), "models/music.json"];

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity), powers = Array.from(logits, (x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

// One of the likeliest tokens that have `topP` of the probability together; a low temperature prefers the very likeliest.
function choose(logits, temperature, topP, even) {
  const best = logits.indexOf(logits.reduce((a, b) => Math.max(a, b), -Infinity));
  if (temperature === 0) return best;
  const p = softmax(logits.map((x) => x / temperature)), order = [...p.keys()].sort((a, b) => p[b] - p[a]);
  let kept = 0, count = 0;
  while (count < order.length && kept < topP) kept += p[order[count++]];
  let drawn = kept * even();
  return order.find((token) => (drawn -= p[token]) < 0) ?? best;
}

// An index, drawn in proportion to the weights.
function draw(weights, even) {
  let drawn = even() * weights.reduce((a, b) => a + b, 0);
  const found = weights.findIndex((weight) => (drawn -= weight) < 0);
  return found < 0 ? weights.length - 1 : found;
}

export function create(ort, loaded) {
  const facts = loaded["music.json"], start = facts.tokens, noLeap = 2 * facts.max_leap + 1;
  const wholes = (values, ...shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const toPitch = (token) => (token ? token + facts.lowest - 1 : 0);
  const toToken = (pitch) => (pitch ? pitch - facts.lowest + 1 : 0);

  function run(name, inputs) {
    const session = loaded[`${name}.onnx`];
    return session.run(Object.fromEntries(session.inputNames.map((one) => [one, inputs[one]])));
  }

  // Several pieces that grow by one step at a time, and what the network remembers of them.
  class Writer {
    constructor(count, [bar, pickup]) {
      Object.assign(this, { count, bar, pickup, steps: 0 });
      const [layers, two, heads, , size] = facts.past;
      this.past = new ort.Tensor("float32", new Float32Array(0), [count, layers, two, heads, 0, size]);
      [this.last, this.held, this.reached] = [start, 0, noLeap].map((value) => Array.from({ length: count }, () => Array(4).fill(value)));
    }
    async context() {
      const { count } = this, rows = (values) => wholes(values.flat(), count, 4);
      const place = facts.bars[this.bar] + (((this.steps - this.pickup) % this.bar) + this.bar) % this.bar;
      const out = await run("step", {
        last: rows(this.last), held: rows(this.held), reached: rows(this.reached),
        place: wholes(Array(count).fill(place), count), past: this.past,
      });
      this.past.dispose?.();
      this.past = out.next_past;
      this.heard = out.context;
    }
    // what voice v could sing, a row of logits for each piece; `above` are the notes of the voices above
    async logits(v, above) {
      const inputs = { context: this.heard, last: wholes(this.last.flat(), this.count, 4) };
      above.forEach((notes, u) => (inputs[`above${u}`] = wholes(notes, this.count)));
      const { logits } = await run(`voice${v}`, inputs);
      return Array.from({ length: this.count }, (_, i) => [...logits.data.slice(i * facts.tokens, (i + 1) * facts.tokens)]);
    }
    write(chords) {
      const sung = (token) => token > 0 && token < start, most = facts.max_leap;
      chords.forEach((chord, i) => chord.forEach((token, v) => {
        const old = this.last[i][v];
        if (token === old) this.held[i][v] = Math.min(this.held[i][v] + 1, facts.max_held);
        else {
          this.held[i][v] = 1;
          this.reached[i][v] = sung(token) && sung(old) ? Math.max(-most, Math.min(most, token - old)) + most : noLeap;
        }
        this.last[i][v] = token;
      }));
      this.steps++;
    }
    select(index) {
      for (const name of ["last", "held", "reached"]) this[name] = index.map((i) => [...this[name][i]]);
      const gather = ({ data, dims }) => {
        const size = data.length / this.count;
        return new ort.Tensor("float32", concat(...index.map((i) => data.subarray(i * size, (i + 1) * size))), dims);
      };
      [this.past, this.heard] = [gather(this.past), gather(this.heard)];
    }
  }

  // Notes with which voice v would move in parallel fifths or octaves with a voice above it.
  function forbidden(v, last, above) {
    const wrong = new Set(), own = last[v], twelve = (x) => ((x % 12) + 12) % 12;
    for (const [u, upper] of above.entries()) {
      const before = last[u], kept = twelve(before - own);
      if ((kept !== 0 && kept !== 7) || !(before > 0 && before < start && upper > 0 && own > 0)) continue;
      for (let note = 1; note < facts.tokens; note++)
        if (twelve(upper - note) === kept && Math.sign(upper - before) * Math.sign(note - own) === 1) wrong.add(note);
    }
    return wrong;
  }

  async function* compose({ steps, metre, temperature, topP, strict }, even) {
    const writer = new Writer(1, metre), grid = [];
    for (let t = 0; t < steps; t++) {
      const begin = performance.now(), chord = [];
      await writer.context();
      for (let v = 0; v < 4; v++) {
        const [logits] = await writer.logits(v, chord.map((note) => [note]));
        if (strict) for (const note of forbidden(v, writer.last[0], chord)) logits[note] = -Infinity;
        chord.push(choose(logits, temperature, topP, even));
      }
      writer.write([chord]);
      grid.push(chord.map(toPitch));
      yield { grid, time: performance.now() - begin };
    }
  }

  // Many attempts at once ("particles"): those for which the melody comes as a surprise die out, the others multiply.
  async function* harmonise({ soprano, metre, temperature, topP, particles }, even) {
    const writer = new Writer(particles, metre);
    let grids = Array.from({ length: particles }, () => []), likely = new Array(particles).fill(0);
    const grid = (i) => grids[i].map((chord) => chord.map(toPitch));
    for (const [t, pitch] of soprano.entries()) {
      const begin = performance.now(), note = toToken(pitch), notes = [new Array(particles).fill(note)];
      await writer.context();
      (await writer.logits(0, [])).forEach((row, i) => (likely[i] += Math.log(softmax(row)[note] + 1e-30)));
      const weights = softmax(likely);
      if (1 / weights.reduce((sum, x) => sum + x * x, 0) < particles / 2) { // fewer than half still count
        const index = weights.map(() => draw(weights, even));
        writer.select(index);
        grids = index.map((i) => [...grids[i]]);
        likely.fill(0);
      }
      for (let v = 1; v < 4; v++) notes.push((await writer.logits(v, notes)).map((row) => choose(row, temperature, topP, even)));
      const chords = Array.from({ length: particles }, (_, i) => notes.map((voice) => voice[i]));
      writer.write(chords);
      chords.forEach((chord, i) => grids[i].push(chord));
      const shown = t === soprano.length - 1 ? draw(softmax(likely), even) : likely.indexOf(Math.max(...likely));
      yield { grid: grid(shown), time: performance.now() - begin };
    }
  }

  let writing = null;
  return {
    begin({ soprano = null, steps = 64, metre = [16, 0], temperature = 1, topP = 0.95, seed = 0, strict = false, particles = 24 }) {
      const how = { soprano, steps, metre, temperature, topP, strict, particles };
      writing = (soprano ? harmonise : compose)(how, random(seed));
    },
    // four more steps: the grid so far, and the time of each; null at the end
    async next() {
      const times = [];
      let grid = null;
      for (let i = 0; i < 4; i++) {
        const { value } = await writing.next();
        if (!value) break;
        grid = value.grid;
        times.push(value.time);
      }
      return grid && { grid, times };
    },
    sound: (grid, tempo) => synthesise(grid, tempo),
    // for the tests: the log-probability of every note of a grid
    async logProbs(grid, metre) {
      const writer = new Writer(1, metre), found = [];
      for (const pitches of grid) {
        const chord = pitches.map(toToken);
        await writer.context();
        for (let v = 0; v < 4; v++) {
          const [logits] = await writer.logits(v, chord.slice(0, v).map((note) => [note]));
          found.push(Math.log(softmax(logits)[chord[v]]));
        }
        writer.write([chord]);
      }
      return Float32Array.from(found);
    },
  };
}
