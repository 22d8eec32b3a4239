const PIECE_SAMPLES = 1600;

/** Turns the sound of the microphone into PCM16, in pieces of 100 ms at 16 kHz. */
class PcmWorklet extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(PIECE_SAMPLES);
    this.filled = 0;
    this.ended = false;
    this.port.onmessage = () => this.#end();
  }

  /** @param {Float32Array[][]} inputs */
  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.piece[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.filled === PIECE_SAMPLES) this.#send();
    }
    return !this.ended;
  }

  #send() {
    const piece = this.piece.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage(piece, [piece.buffer]);
  }

  #end() {
    if (this.filled) this.#send();
    this.ended = true;
    this.port.postMessage(null);
  }
}

registerProcessor("pcm", PcmWorklet);
