import { CallStream } from "./call_stream.js";
import { SAMPLE_RATE, Recorder } from "./recorder.js";
import { wavOf } from "./wav.js";

/**
 * A call from the microphone while it goes on. It sends `change` with the call by now, `moment` for each piece of
 * sound, `slow` when the server cannot keep up, and `problem` with an error of the server.
 */
export class LiveCall extends EventTarget {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.recorder = new Recorder();
    this.stream = new CallStream(api, SAMPLE_RATE);
    this.pieces = [];
    this.samples = 0;
    this.call = emptyCall();
    this.moments = [];
    this.#listen();
  }

  /** Opens the stream, then the microphone. @returns {Promise<MediaStream>} */
  async start() {
    await this.stream.open();
    return this.recorder.start();
  }

  /** Ends the call. @returns {Promise<File>} the recording */
  async stop() {
    await this.recorder.stop();
    await this.stream.finish();
    return this.recording();
  }

  /** What was recorded by now. @returns {File} */
  recording() {
    return wavOf(this.pieces, SAMPLE_RATE);
  }

  get duration_ms() {
    return (this.samples / SAMPLE_RATE) * 1000;
  }

  #listen() {
    this.recorder.addEventListener("piece", ({ detail }) => detail && this.#take(detail));
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ change) =>
      this.stream.addEventListener(type, ({ detail }) => change(detail));
    on("session.created", ({ model }) => this.#change({ model }));
    on("utterance.scored", (utterance) => this.#change({ utterances: [...this.call.utterances, utterance] }));
    on("call.scored", (event) => this.#score(event));
    on("backpressure", () => this.dispatchEvent(new Event("slow")));
    on("error", (problem) => this.dispatchEvent(new CustomEvent("problem", { detail: problem })));
    this.stream.addEventListener("lost", () => this.dispatchEvent(new CustomEvent("problem", { detail: null })));
  }

  /** @param {Int16Array} piece */
  #take(piece) {
    this.pieces.push(piece);
    this.samples += piece.length;
    if (!this.stream.push(piece)) this.dispatchEvent(new Event("slow"));
    this.dispatchEvent(new Event("moment"));
  }

  #score({ as_of_ms, urgency, sentiment, abstain, alarm, listening }) {
    this.moments.push({ at_ms: as_of_ms, probabilities: urgency?.probabilities ?? {}, abstain });
    this.#change({ urgency, sentiment, abstain, alarm, listening: listening ?? this.call.listening });
  }

  #change(facts) {
    this.call = { ...this.call, ...facts, duration_ms: this.duration_ms };
    this.dispatchEvent(new Event("change"));
  }
}

function emptyCall() {
  return {
    urgency: null, sentiment: null, abstain: null, alarm: null, listening: "none", duration_ms: 0, utterances: [],
    rejected: [], model: null,
  };
}
