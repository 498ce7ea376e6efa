// The spectrograms of the course in plain JavaScript: the same numbers as course_utils/features.py.
// No Web Audio in here, so a Worker, Node and a test can use it.

export const SAMPLE_RATE = 16000;
export const HOP = 256; // samples between frames: 16 ms

export function concat(...parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// The fast Fourier transform of Cooley and Tukey: a transform of n numbers is two of n / 2 (the even and the odd ones),
// put together with one multiplication each. Here without recursion: first the order in which halving ends, then the
// putting together, from pairs to the whole.
export class FFT {
  constructor(n) {
    this.n = n;
    this.bins = n / 2 + 1;
    this.order = new Uint32Array(n);
    for (let i = 1; i < n; i++) this.order[i] = (this.order[i >> 1] >> 1) | (i & 1 ? n / 2 : 0);
    this.cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
    this.sin = Float64Array.from({ length: n / 2 }, (_, k) => Math.sin((2 * Math.PI * k) / n));
    this.re = new Float64Array(n);
    this.im = new Float64Array(n);
  }

  transform() {
    const { n, re, im, cos, sin } = this;
    for (let size = 2; size <= n; size *= 2) {
      const half = size / 2, stride = n / size;
      for (let begin = 0; begin < n; begin += size) {
        for (let k = 0; k < half; k++) {
          const a = begin + k, b = a + half, c = cos[k * stride], s = -sin[k * stride];
          const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }

  // n real numbers -> n / 2 + 1 complex ones, real and imaginary part in turn
  forward(samples) {
    for (let i = 0; i < this.n; i++) {
      this.re[this.order[i]] = samples[i];
      this.im[this.order[i]] = 0;
    }
    this.transform();
    const spectrum = new Float32Array(2 * this.bins);
    for (let k = 0; k < this.bins; k++) {
      spectrum[2 * k] = this.re[k];
      spectrum[2 * k + 1] = this.im[k];
    }
    return spectrum;
  }

  // the way back; the other half of the spectrum mirrors the first, as the samples are real
  inverse(spectrum) {
    const { n, bins, order } = this;
    for (let k = 0; k < n; k++) {
      const mirrored = k >= bins, from = mirrored ? n - k : k;
      const edge = from === 0 || from === n / 2; // real by nature: what stands there besides is dropped
      this.re[order[k]] = spectrum[2 * from];
      // conjugated once more: the inverse transform is the conjugate of the transform of the conjugate
      this.im[order[k]] = edge ? 0 : spectrum[2 * from + 1] * (mirrored ? 1 : -1);
    }
    this.transform();
    return Float32Array.from(this.re, (value) => value / n);
  }
}

const hann = (n) => Float32Array.from({ length: n }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n));
const rootHann = (n) => hann(n).map(Math.sqrt);

// Overlapping frames of a stream. Frame t is centred on sample t * HOP, so the beginning and the end are mirrored.
class Framer {
  constructor(nFft) {
    this.nFft = nFft;
    this.half = nFft / 2;
    this.waiting = new Float32Array(0);
    this.recent = new Float32Array(0); // the last half window and one sample, to mirror the end
    this.seen = this.given = 0;
  }

  push(chunk) {
    const before = this.seen;
    this.seen += chunk.length;
    this.waiting = concat(this.waiting, chunk);
    const tail = chunk.length > this.half ? chunk : concat(this.recent, chunk);
    this.recent = tail.slice(-this.half - 1);
    if (before <= this.half && this.seen > this.half)
      this.waiting = concat(this.waiting.slice(1, this.half + 1).reverse(), this.waiting);
    return this.seen > this.half ? this.take(Infinity) : [];
  }

  take(most) {
    const count = Math.min(most, Math.max(0, 1 + Math.floor((this.waiting.length - this.nFft) / HOP)));
    const frames = Array.from({ length: count }, (_, t) => this.waiting.slice(t * HOP, t * HOP + this.nFft));
    this.waiting = this.waiting.slice(count * HOP);
    this.given += count;
    return frames;
  }

  finish() {
    if (this.seen === 0) return [];
    if (this.seen <= this.half) { // so short that it never began
      const padded = concat(this.waiting, new Float32Array(this.half + 1 - this.seen));
      this.waiting = concat(padded.slice(1).reverse(), padded, padded.slice(0, -1).reverse());
    } else {
      this.waiting = concat(this.waiting, this.recent.slice(0, -1).reverse());
    }
    return this.take(1 + Math.floor(this.seen / HOP) - this.given);
  }
}

// Short-time Fourier transform of a stream: square-root Hann window of 32 ms. A frame has 257 complex numbers.
export class STFT {
  constructor(nFft = 512) {
    this.framer = new Framer(nFft);
    this.window = rootHann(nFft);
    this.fft = new FFT(nFft);
  }
  spectra(frames) {
    return frames.map((frame) => this.fft.forward(frame.map((x, i) => x * this.window[i])));
  }
  push(chunk) { return this.spectra(this.framer.push(chunk)); }
  finish() { return this.spectra(this.framer.finish()); }
}

// The way back by weighted overlap-add. A sample comes out once no later frame can change it.
export class ISTFT {
  constructor(nFft = 512) {
    this.nFft = nFft;
    this.fft = new FFT(nFft);
    this.window = rootHann(nFft);
    this.added = new Float32Array(nFft);
    this.weight = new Float32Array(nFft);
    this.skip = nFft / 2; // the mirrored beginning
    this.sent = 0;
  }
  push(spectra) {
    const parts = [];
    for (const spectrum of spectra) {
      const frame = this.fft.inverse(spectrum);
      for (let i = 0; i < this.nFft; i++) {
        this.added[i] += frame[i] * this.window[i];
        this.weight[i] += this.window[i] ** 2;
      }
      parts.push(this.pop(HOP));
    }
    return concat(...parts);
  }
  pop(count) {
    const samples = new Float32Array(count);
    for (let i = 0; i < count; i++) samples[i] = this.added[i] / Math.max(this.weight[i], 1e-8);
    for (const row of [this.added, this.weight]) {
      row.copyWithin(0, count);
      row.fill(0, this.nFft - count);
    }
    const skip = Math.min(this.skip, count);
    this.skip -= skip;
    this.sent += count - skip;
    return samples.subarray(skip);
  }
  // the rest, so that all samples together are `length`
  finish(length) {
    const before = this.sent, rest = this.pop(this.nFft), missing = Math.max(0, length - before);
    return concat(rest.subarray(0, missing), new Float32Array(Math.max(0, missing - rest.length)));
  }
}

// --- log-mel ---------------------------------------------------------------------------------------------

export const MELS = 80;
const [F_MIN, F_MAX, N_FFT] = [80, 7600, 1024];
const toMel = (hz) => (hz < 1000 ? (hz * 3) / 200 : 15 + (Math.log(hz / 1000) * 27) / Math.log(6.4));
const toHz = (mel) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(((mel - 15) * Math.log(6.4)) / 27));

// Triangles of equal area on Slaney's mel scale, each as its first bin and its weights.
function melFilters() {
  const step = (toMel(F_MAX) - toMel(F_MIN)) / (MELS + 1);
  const edge = Array.from({ length: MELS + 2 }, (_, i) => toHz(toMel(F_MIN) + i * step));
  return Array.from({ length: MELS }, (_, m) => {
    const [low, centre, high] = edge.slice(m, m + 3), weights = [];
    let first = -1;
    for (let k = 0; k <= N_FFT / 2; k++) {
      const hz = (k * SAMPLE_RATE) / N_FFT;
      const height = Math.min((hz - low) / (centre - low), (high - hz) / (high - centre));
      if (height > 0) {
        if (first < 0) first = k;
        weights.push((height * 2) / (high - low));
      }
    }
    return { first, weights };
  });
}

// log10 of 80 mel bands, windows of 64 ms. A frame has 80 numbers, at least -10.
export class LogMel {
  constructor() {
    this.framer = new Framer(N_FFT);
    this.window = hann(N_FFT);
    this.fft = new FFT(N_FFT);
    this.filters = melFilters();
  }
  rows(frames) {
    return frames.map((frame) => {
      const spectrum = this.fft.forward(frame.map((x, i) => x * this.window[i]));
      return Float32Array.from(this.filters, ({ first, weights }) => {
        let sum = 0;
        for (let i = 0; i < weights.length; i++)
          sum += weights[i] * Math.hypot(spectrum[2 * (first + i)], spectrum[2 * (first + i) + 1]);
        return Math.log10(Math.max(sum, 1e-10));
      });
    });
  }
  push(chunk) { return this.rows(this.framer.push(chunk)); }
  finish() { return this.rows(this.framer.finish()); }
}

// --- other sample rates ----------------------------------------------------------------------------------

// A stream at another rate, by a low-pass filter (a sinc under a Hann window) that is read at the places of the new
// samples. Rates have a common divisor, so only a few sets of weights ("phases") occur, and each is computed once.
export class Resampler {
  constructor(from, to = SAMPLE_RATE) {
    const gcd = (a, b) => (b ? gcd(b, a % b) : a);
    const common = gcd(from, to);
    this.up = to / common;
    this.down = from / common;
    const cut = 0.94 * Math.min(1, to / from); // of the old Nyquist frequency; a margin for the slope of the filter
    this.reach = Math.ceil(24 / cut);
    this.phases = Array.from({ length: this.up }, (_, phase) =>
      Float32Array.from({ length: 2 * this.reach }, (_, i) => {
        const t = i - this.reach + 1 - phase / this.up, x = Math.PI * cut * t;
        const window = 0.5 + 0.5 * Math.cos((Math.PI * t) / this.reach);
        return cut * (x === 0 ? 1 : Math.sin(x) / x) * window;
      }),
    );
    this.waiting = new Float32Array(this.reach - 1); // silence before the beginning
    this.at = 0; // of the next new sample, in steps of 1 / (up * from) seconds after the first sample that waits
    this.same = from === to;
    this.seen = this.sent = 0;
  }
  push(chunk) {
    if (this.same) return chunk;
    this.seen += chunk.length;
    this.waiting = concat(this.waiting, chunk);
    const out = [];
    for (;;) {
      const first = Math.floor(this.at / this.up);
      if (first + 2 * this.reach > this.waiting.length) break;
      const weights = this.phases[this.at % this.up];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * this.waiting[first + i];
      out.push(sum);
      this.at += this.down;
    }
    const done = Math.floor(this.at / this.up);
    this.waiting = this.waiting.slice(done);
    this.at -= done * this.up;
    this.sent += out.length;
    return Float32Array.from(out);
  }
  finish() {
    if (this.same) return new Float32Array(0);
    const missing = Math.ceil((this.seen * this.up) / this.down) - this.sent;
    return this.push(new Float32Array(2 * this.reach)).slice(0, Math.max(0, missing));
  }
}
