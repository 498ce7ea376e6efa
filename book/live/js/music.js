// Four-part music on a grid: a row of four MIDI numbers (soprano, alto, tenor, bass; 0 = rest) for each 16th note.
// The same notation, sound and rules as course_utils/music.py.
import { SAMPLE_RATE } from "./dsp.js";

export const VOICES = ["soprano", "alto", "tenor", "bass"];
const LOWEST = 30, HIGHEST = 92, TONES = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 };
const NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];

export const pitchName = (pitch) => (pitch ? NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1) : "r");

// "G4 A4*2 Bb4*.5 r" -> pitches, four a beat
export function melody(text) {
  const steps = [];
  for (const word of text.replaceAll("|", " ").split(/\s+/).filter(Boolean)) {
    const match = word.match(/^(?:([A-Ga-g])([#b]?)(\d)|[rR])(?:\*(\d*\.?\d+))?$/);
    if (!match) throw new Error(`“${word}” is no note: write for example G4, F#4*2, Bb4*.5 or r`);
    const [, letter, sign, octave, beats] = match, length = 4 * Number(beats ?? 1);
    if (!length || length !== Math.round(length)) throw new Error(`“${word}”: the length must be a multiple of .25 beats`);
    const pitch = letter ? 12 * (+octave + 1) + TONES[letter.toUpperCase()] + ({ "#": 1, b: -1 }[sign] ?? 0) : 0;
    if (letter && (pitch < LOWEST || pitch > HIGHEST)) throw new Error(`“${word}” is too low or too high to be sung`);
    for (let i = 0; i < length; i++) steps.push(pitch);
  }
  if (!steps.length) throw new Error("The melody is empty: write for example G4 A4 B4*2");
  return steps;
}

// The notes of a grid: equal neighbours are one.
export function notes(grid) {
  const found = [];
  for (let voice = 0; voice < 4; voice++) {
    for (let start = 0, t = 1; t <= grid.length; t++) {
      if (t < grid.length && grid[t][voice] === grid[start][voice]) continue;
      if (grid[start][voice]) found.push({ voice, pitch: grid[start][voice], start, length: t - start });
      start = t;
    }
  }
  return found;
}

// The other way round from `melody`, for readers who can not see the picture.
export const written = (grid, voice) => {
  const words = [];
  for (let start = 0, t = 1; t <= grid.length; t++) {
    if (t < grid.length && grid[t][voice] === grid[start][voice]) continue;
    words.push(pitchName(grid[start][voice]) + (t - start === 4 ? "" : `*${(t - start) / 4}`));
    start = t;
  }
  return words.join(" ");
};

// Parallel fifths and octaves: two voices move together from such an interval to the same one.
export function parallels(grid) {
  let count = 0;
  for (let t = 1; t < grid.length; t++) {
    const [a, b] = [grid[t - 1], grid[t]];
    for (let low = 1; low < 4; low++) {
      for (let high = 0; high < low; high++) {
        if (!(a[low] && b[low] && a[high] && b[high])) continue;
        const size = (((a[high] - a[low]) % 12) + 12) % 12, then = (((b[high] - b[low]) % 12) + 12) % 12;
        const [up, down] = [Math.sign(b[high] - a[high]), Math.sign(b[low] - a[low])];
        if (up && up === down && size === then && (size === 0 || size === 7)) count++;
      }
    }
  }
  return count;
}

// One note by adding sines: each overtone is softer than the one below it, and fades faster.
function tone(pitch, seconds) {
  const brightness = 0.55, release = 0.08, frequency = 440 * 2 ** ((pitch - 69) / 12);
  const sound = new Float32Array(Math.round((seconds + release) * SAMPLE_RATE));
  for (let k = 1; k <= Math.min(10, Math.floor(SAMPLE_RATE / 2 / frequency)); k++) {
    const loud = (1 - brightness) * brightness ** (k - 1), turn = (2 * Math.PI * k * frequency) / SAMPLE_RATE;
    const fade = Math.exp((-0.35 * k) / SAMPLE_RATE);
    for (let i = 0, level = loud; i < sound.length; i++, level *= fade) sound[i] += level * Math.sin(turn * i);
  }
  return sound.map((x, i) => {
    const t = i / SAMPLE_RATE;
    return x * Math.min(t / 0.015, 1) * Math.min(1, Math.max(0, (seconds + release - t) / release));
  });
}

// A grid as sound with a peak of 0.5.
export function synthesise(grid, tempo) {
  const step = 60 / tempo / 4, gains = [1, 0.8, 0.8, 1], tones = new Map();
  const sound = new Float32Array(Math.round((grid.length * step + 0.3) * SAMPLE_RATE));
  for (const { voice, pitch, start, length } of notes(grid)) {
    const key = `${pitch} ${length}`, at = Math.round(start * step * SAMPLE_RATE);
    if (!tones.has(key)) tones.set(key, tone(pitch, length * step));
    tones.get(key).forEach((x, i) => at + i < sound.length && (sound[at + i] += gains[voice] * x));
  }
  const peak = sound.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return peak ? sound.map((x) => (x * 0.5) / peak) : sound;
}
