// The synthesiser and the vocoder of notebook 04: text -> phones -> durations and tune -> log-mel -> sound.
import { HOP, MELS, concat } from "./dsp.js";
import { random } from "./random.js";
import { sentences, spoken, unpackLexicon } from "./text.js";

const NETWORKS = ["read", "frames", "flow", "vocoder", "g2p"];
export const files = () => [...NETWORKS.map((name) => `models/${name}.onnx`), "models/speaker.json", "models/lexicon.txt.gz"];

const FIRST = 32, LARGEST = 256; // frames that are decoded at once: a short piece first, so that sound begins soon
const TEMPERATURE = 0.8; // deviation of the noise that the flow begins with
const LETTERS = "'abcdefghijklmnopqrstuvwxyz";

// Box and Muller: two even numbers make one of the bell curve.
const normal = (even) => Math.sqrt(-2 * Math.log(1 - even())) * Math.cos(2 * Math.PI * even());

function unit(voice) {
  const length = Math.sqrt(voice.reduce((sum, x) => sum + x * x, 0));
  return Float32Array.from(voice, (x) => x / length);
}

export async function create(ort, loaded) {
  const facts = loaded["speaker.json"], lexicon = await unpackLexicon(loaded["lexicon.txt.gz"], facts.phones);
  const run = (name, inputs) => loaded[`${name}.onnx`].run(inputs);
  const floats = (values, ...shape) => new ort.Tensor("float32", values, shape);
  const wholes = (values, ...shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const symbols = ["", ...facts.phones.filter((phone) => phone !== "sil")]; // 0 is the blank of CTC

  // Two slots for each letter, each with a phone or nothing: the best of each, repetitions merged, blanks dropped.
  async function guess(word) {
    const letters = [...word].map((letter) => LETTERS.indexOf(letter));
    const { log_probs } = await run("g2p", { letters: wholes(letters, 1, letters.length) });
    const phones = [], width = symbols.length;
    for (let slot = 0, before = 0; slot < 2 * letters.length; slot++) {
      const row = log_probs.data.subarray(slot * width, (slot + 1) * width), best = row.indexOf(Math.max(...row));
      if (best && best !== before) phones.push(symbols[best]);
      before = best;
    }
    if (!phones.some((phone) => phone.endsWith("1"))) { // every word has a main stress
      const vowels = phones.map((_, i) => i).filter((i) => /\d$/.test(phones[i]));
      const main = vowels.find((i) => phones[i].endsWith("2")) ?? vowels[0];
      if (main !== undefined) phones[main] = phones[main].slice(0, -1) + "1";
    }
    return phones;
  }

  // Which phones, how long and how high. `guided` adds a second row: the same said by anybody.
  async function planOf(sentence, voice, { speed, pitch, guidance }) {
    const { phones, words } = await spoken(sentence, lexicon, guess), n = phones.length;
    const starts = new Array(n).fill(0);
    for (const { first } of words) starts[first] = 1;
    const numbers = phones.map((phone) => facts.phones.indexOf(phone));
    const read = await run("read", {
      phones: wholes(numbers, 1, n), starts: wholes(starts, 1, n), voice: floats(voice, 1, voice.length),
    });
    const rows = guidance > 0 ? 2 : 1, told = read.prosody.data, bounds = [0], prosody = new Float32Array(3 * n);
    let end = 0;
    for (let p = 0; p < n; p++) {
      end += Math.max(1, (Math.exp(told[4 * p]) * facts.duration_scale) / speed);
      bounds.push(Math.floor(end + 0.5));
      prosody.set(told.subarray(4 * p + 1, 4 * p + 4), 3 * p);
      prosody[3 * p] += (facts.turn * pitch) / facts.pitch_scale[1];
    }
    const [dim, cond] = [read.hidden.dims[2], read.steer.dims[1]];
    return {
      phones, words, bounds, frames: bounds[n], rows,
      hidden: floats(read.hidden.data.slice(0, rows * n * dim), rows, n, dim),
      steer: floats(read.steer.data.slice(0, rows * cond), rows, cond),
      prosody: floats(prosody, 1, n, 3),
    };
  }

  // For frames first to end: in which phone each is, and where in it. The same as `tts_onnx.places`.
  function placesOf(bounds, first, end) {
    const phone = [], place = new Float32Array(4 * (end - first));
    for (let t = first, p = 0; t < end; t++) {
      while (p < bounds.length - 2 && bounds[p + 1] <= t) p++;
      const length = Math.max(1, bounds[p + 1] - bounds[p]), since = t - bounds[p] + 0.5, left = bounds[p + 1] - t - 0.5;
      phone.push(p);
      place.set([since / length - 0.5, Math.min(since / 10, 1), Math.min(Math.max(left / 10, 0), 1), Math.log(length) / 3], 4 * (t - first));
    }
    return { phone: wholes(phone, 1, end - first), place: floats(place, 1, end - first, 4) };
  }

  // Frames first to end as log-mel, from noise in Euler steps along the flow.
  async function decode(plan, noise, first, end, { steps, guidance }) {
    const { rows, hidden, prosody, steer, bounds } = plan, n = end - first, size = n * MELS;
    const { frames, guess } = await run("frames", { hidden, prosody, steer, ...placesOf(bounds, first, end) });
    const x = noise.slice(first * MELS, end * MELS);
    for (let step = 0; step < steps; step++) {
      const both = rows === 2 ? concat(x, x) : x.slice();
      const { velocity } = await run("flow", {
        x: floats(both, rows, n, MELS), t: floats(new Float32Array(rows).fill(step / steps), rows), frames, guess, steer,
      });
      const v = velocity.data;
      // away from what anybody would say
      for (let i = 0; i < size; i++) x[i] += (rows === 2 ? v[i] + guidance * (v[i] - v[size + i]) : v[i]) / steps;
    }
    const [mean, scale] = facts.mel_scale;
    return x.map((value, i) => value * scale[i % MELS] + mean[i % MELS]);
  }

  // Sound from a log-mel that comes in pieces: the vocoder needs some frames before and after a sample, and goes on with
  // the clock of its pulses from the frame `at`.
  class VocoderStream {
    constructor() { [this.kept, this.done, this.at, this.ticks] = [new Float32Array(0), 0, 0, 0]; }
    push(logMel) {
      this.kept = concat(this.kept, logMel);
      return this.give(this.kept.length / MELS - facts.vocoder.look_ahead);
    }
    finish() { return this.give(this.kept.length / MELS - 1); }
    async give(end) {
      if (end <= this.done) return new Float32Array(0);
      const { waveform, clock } = await run("vocoder", {
        log_mel: floats(this.kept.slice(), 1, this.kept.length / MELS, MELS), at: wholes([this.at], 1), ticks: wholes([this.ticks], 1),
      });
      const samples = waveform.data.slice(this.done * HOP, end * HOP), drop = Math.max(0, end - facts.vocoder.look_back);
      [this.at, this.ticks] = [end - 1 - drop, Number(clock.data[end - 1])];
      this.kept = this.kept.slice(drop * MELS);
      this.done = end - drop;
      return samples;
    }
  }

  async function* say(pieces, voice, how, seed, given) {
    const even = random(seed);
    for (const [index, sentence] of pieces.entries()) {
      let began = performance.now();
      const plan = await planOf(sentence, voice, how), vocoder = new VocoderStream();
      const noise = given ?? Float32Array.from({ length: plan.frames * MELS }, () => TEMPERATURE * normal(even));
      const { words, phones } = plan;
      yield { index, sentence, words: words.map((one) => ({ ...one, phones: phones.slice(one.first, one.end) })) };
      for (let at = 0, size = FIRST; at < plan.frames; size = Math.min(2 * size, LARGEST)) {
        // The frames beside a piece are decoded with it, as far as one step of the flow sees.
        const end = Math.min(at + size, plan.frames), first = Math.max(0, at - facts.context);
        const mel = await decode(plan, noise, first, Math.min(plan.frames, end + facts.context), how);
        const samples = await vocoder.push(mel.slice((at - first) * MELS, (end - first) * MELS));
        const now = performance.now();
        yield { samples, times: [(now - began) / (end - at)] };
        began = now;
        at = end;
      }
      yield { samples: await vocoder.finish(), times: [] };
    }
  }

  const voiceOf = (name) => unit(facts.speakers[name]);
  let saying = null;
  return {
    speakers: () => Object.keys(facts.speakers),
    // a text -> its sentences; the sound is fetched with `next`. With `noise` of a test it is that of Python.
    begin(text, { voice, other = voice, share = 0, seed = 0, speed = 1, pitch = 0, steps = 4, guidance = 1.25, noise = null }) {
      const pieces = sentences(text), [one, two] = [voiceOf(voice), voiceOf(other)];
      if (!pieces.length) throw new Error("There is nothing to say in this text: it needs words with letters, or numbers");
      saying = say(pieces, unit(one.map((x, i) => (1 - share) * x + share * two[i])), { speed, pitch, steps, guidance }, seed, noise);
      return pieces;
    },
    // words of the next sentence, or samples; null at the end
    next: async () => (await saying.next()).value ?? null,
    // for the tests: phones, and the log-mel of a whole sentence from given noise
    phones: async (text) => Promise.all(sentences(text).map(async (one) => (await spoken(one, lexicon, guess)).phones)),
    async logMel(sentence, voice, noise) {
      const how = { speed: 1, pitch: 0, steps: 4, guidance: 0.5 }, plan = await planOf(sentence, voiceOf(voice), how);
      return { frames: plan.frames, logMel: await decode(plan, noise, 0, plan.frames, how) };
    },
  };
}
