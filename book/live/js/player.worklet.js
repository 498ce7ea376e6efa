// Plays chunks in the order in which they come, and silence while there are none.
class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunks = [];
    this.at = 0; // in the first chunk
    this.played = 0;
    this.waiting = 0; // samples in all chunks
    this.ended = false; // no more chunks will come
    this.running = false;
    this.port.onmessage = ({ data }) => {
      if (data.samples) {
        this.chunks.push(data.samples);
        this.waiting += data.samples.length;
        // Live sound must not fall behind for ever: what is too late is dropped.
        while (data.limit && this.waiting > data.limit && this.chunks.length > 1) this.drop();
      }
      if (data.end) this.ended = true;
      // A small store first, so that a chunk that comes a little late leaves no gap.
      if (this.ended || this.waiting >= (data.store ?? 0)) this.running = true;
    };
  }
  drop() {
    this.waiting -= this.chunks.shift().length - this.at;
    this.at = 0;
  }
  process(_, [[out]]) {
    if (this.running) {
      for (let i = 0; i < out.length && this.chunks.length; i++) {
        out[i] = this.chunks[0][this.at++];
        this.waiting--;
        this.played++;
        while (this.chunks.length && this.at === this.chunks[0].length) this.drop();
      }
      this.port.postMessage({ played: this.played });
      if (this.ended && !this.chunks.length) {
        this.port.postMessage({ over: true });
        return false;
      }
    }
    return true;
  }
}
registerProcessor("player", Player);
