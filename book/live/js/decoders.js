// From the probabilities of each 32 ms to text: the same searches as course_utils/decoding.

const NEVER = -1e9;

// The best class of every step: repetitions merge, blanks go.
export class Greedy {
  constructor({ units }) {
    this.units = units;
    this.text = "";
    this.last = 0;
  }
  push(rows) {
    for (const row of rows) {
      const best = row.indexOf(Math.max(...row));
      if (best && best !== this.last) this.text += this.units[best - 1];
      this.last = best;
    }
  }
  // what is certain, and all that is understood by now; the last word may go on
  partial() {
    const words = this.text.trim().split(/ +/).filter(Boolean), open = words.length && !this.text.endsWith(" ");
    return { stable: (open ? words.slice(0, -1) : words).join(" "), text: words.join(" ") };
  }
  finish() {
    const { text } = this.partial();
    return { stable: text, text };
  }
}

function pathOf(spoken) {
  const path = [];
  for (let at = spoken; at; at = at.before) path.push(at);
  return path.reverse();
}

// Viterbi search for the best row of words. Each entry is a row of states: blank, phone, blank, phone, ..., blank.
export class WordGraph {
  constructor({ units, words, pronunciations, grammar, weight, bonus, patience }) {
    this.texts = [...new Set(words)];
    this.owner = words.map((word) => this.texts.indexOf(word)); // a word may have several entries
    this.patience = patience; // steps for which a word has been over before it is shown
    this.width = 30; // nats below the best path at which one is given up
    this.classes = [];
    this.skip = []; // may a phone be reached from the phone before it?
    this.first = [];
    this.last = [];
    for (const entry of pronunciations) {
      const phones = entry.split(" ").map((phone) => units.indexOf(phone) + 1);
      this.first.push(this.classes.length);
      phones.forEach((phone, k) => {
        this.classes.push(0, phone);
        this.skip.push(false, k > 0 && phones[k - 1] !== phone);
      });
      this.classes.push(0);
      this.skip.push(false);
      this.last.push(this.classes.length - 1);
    }
    const n = this.classes.length, entries = words.length;
    this.inner = new Array(n).fill(true);
    for (const state of this.first) this.inner[state] = false;
    // what it costs to begin entry b after entry a; the last row is the beginning
    this.grammar = [...this.owner, this.texts.length].map((a) => this.owner.map((b) => weight * grammar[a][b] + bonus));
    this.score = new Float64Array(n).fill(NEVER);
    this.since = new Int32Array(n);
    this.until = new Int32Array(n);
    this.before = new Array(n).fill(null);
    // the best path that has ended with each entry, in its last phone and in the blank behind it; the last place is:
    // nothing but silence so far
    this.exits = [0, 1].map(() => new Float64Array(entries + 1).fill(NEVER));
    this.exits[1][entries] = 0;
    this.paths = [0, 1].map(() => new Array(entries + 1).fill(null));
    this.words = [];
    this.step = 0;
  }

  push(rows) {
    for (const row of rows) {
      this.advance(row);
      this.endWords(row);
      this.step++;
    }
    this.commit();
  }

  advance(row) {
    const n = this.classes.length, score = new Float64Array(n), before = new Array(n), since = new Int32Array(n);
    const until = this.until.slice();
    for (let s = 0; s < n; s++) { // from itself, its neighbour, or the phone before
      let from = s;
      if (this.inner[s] && this.score[s - 1] > this.score[from]) from = s - 1;
      if (this.skip[s] && this.score[s - 2] > this.score[from]) from = s - 2;
      score[s] = this.score[from];
      before[s] = this.before[from];
      since[s] = this.since[from];
      if (!this.inner[s - 1] && from === s - 1) since[s] = this.step; // out of the blank before the first phone
      if (from !== s) until[s] = this.step;
    }
    const ended = [];
    for (const kind of [0, 1])
      this.exits[kind].forEach((value, entry) => value > NEVER && ended.push([kind, entry, value]));
    for (let entry = 0; entry < this.first.length; entry++) {
      const begins = this.classes[this.first[entry] + 1];
      for (const state of [this.first[entry], this.first[entry] + 1]) {
        for (const [kind, from, value] of ended) {
          // the same phone again needs a blank between
          const touch = state > this.first[entry] && kind === 0 && from < this.last.length && this.classes[this.last[from] - 1] === begins;
          const enter = value + this.grammar[from][entry];
          if (touch || enter <= score[state]) continue;
          score[state] = enter;
          before[state] = this.paths[kind][from];
          since[state] = this.step;
        }
      }
    }
    let best = -Infinity;
    for (let s = 0; s < n; s++) {
      score[s] += row[this.classes[s]];
      best = Math.max(best, score[s]);
    }
    for (let s = 0; s < n; s++) if (score[s] < best - this.width) score[s] = NEVER; // hopeless
    Object.assign(this, { score, before, since, until, best });
  }

  endWords(row) {
    const silence = this.exits[1].at(-1) + row[0], entries = this.owner.length;
    this.exits = [0, 1].map(() => new Float64Array(entries + 1).fill(NEVER));
    this.paths = [0, 1].map(() => new Array(entries + 1).fill(null));
    if (silence > this.best - this.width) this.exits[1][entries] = silence;
    for (const kind of [0, 1]) {
      for (let entry = 0; entry < entries; entry++) {
        const state = this.last[entry] - 1 + kind;
        if (this.score[state] <= NEVER) continue;
        this.exits[kind][entry] = this.score[state];
        this.paths[kind][entry] = {
          word: this.owner[entry], start: this.since[state], end: kind ? this.until[state] - 1 : this.step,
          before: this.before[state],
        };
      }
    }
  }

  // Words at the beginning of all possible paths are final.
  commit() {
    const alive = new Set([...this.before].filter((_, s) => this.score[s] > NEVER));
    for (const kind of [0, 1]) this.exits[kind].forEach((value, entry) => value > NEVER && alive.add(this.paths[kind][entry]));
    const paths = [...alive].map(pathOf);
    let shared = 0;
    while (paths.every((path) => path.length > shared && path[shared] === paths[0][shared])) shared++;
    if (!shared) return;
    this.words.push(...paths[0].slice(0, shared));
    const done = paths[0][shared - 1];
    for (const path of paths) if (path.length > shared) path[shared].before = null;
    const forget = (one) => (one === done ? null : one);
    this.before = this.before.map(forget);
    this.paths = this.paths.map((row) => row.map(forget));
  }

  read(spoken) {
    const text = (words) => words.map(({ word }) => this.texts[word]).join(" ");
    return { stable: text(this.words), text: text([...this.words, ...pathOf(spoken)]) };
  }

  // the best path so far, without the word that is being said
  partial() {
    if (!this.step) return this.read(null);
    const state = this.score.indexOf(Math.max(...this.score)), over = this.last.indexOf(state);
    let best = over >= 0 ? this.paths[1][over] : this.before[state];
    while (best && best.end + 1 > this.step - this.patience) best = best.before;
    return this.read(best);
  }

  finish() {
    let top = NEVER, best = null;
    for (const kind of [0, 1])
      this.exits[kind].forEach((value, entry) => {
        if (value > top) [top, best] = [value, this.paths[kind][entry]];
      });
    if (top === NEVER) best = this.before[this.score.indexOf(Math.max(...this.score))]; // a word was broken off
    const { text } = this.read(best);
    return { stable: text, text };
  }
}

// Says that an utterance is over: something was said, and then nothing for `pause` seconds.
export class Endpointer {
  constructor(pause = 0.8) {
    this.pause = Math.round(pause / 0.032);
    this.silent = 0;
    this.spoken = false;
  }
  push(rows) {
    for (const row of rows) {
      if (row[0] > Math.log(0.5)) this.silent++;
      else [this.silent, this.spoken] = [0, true];
    }
    return this.spoken && this.silent >= this.pause;
  }
}
