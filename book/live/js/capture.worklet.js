// The microphone in chunks of 32 ms or a little more, at the rate of the context.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Float32Array(Math.ceil(sampleRate / 31));
    this.used = 0;
    this.open = true;
    this.port.onmessage = () => { // stop: what has been heard is sent, then the end
      this.open = false;
      this.port.postMessage(this.chunk.slice(0, this.used));
      this.port.postMessage(null);
    };
  }
  process([[samples]]) {
    if (!this.open) return false;
    if (!samples) return true; // the microphone does not deliver yet
    for (const sample of samples) {
      this.chunk[this.used++] = sample;
      if (this.used === this.chunk.length) {
        this.port.postMessage(this.chunk.slice());
        this.used = 0;
      }
    }
    return true;
  }
}
registerProcessor("capture", Capture);
