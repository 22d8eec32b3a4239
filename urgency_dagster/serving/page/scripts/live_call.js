import { Problem } from "./api.js";
import { CallStream } from "./call_stream.js";
import { SAMPLE_RATE, Recorder } from "./recorder.js";
import { wavOf } from "./wav.js";

/**
 * A call from the microphone while it goes on. It sends `change` when the call has changed, `moment` for each piece of
 * sound, `slow`, `again` and `well` about the connection, `problem` when something was left out, and `failed` at an end
 * that was not asked for, the last two with a `Problem`.
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

  /** Opens the microphone, then the stream. @returns {Promise<MediaStream>} */
  async start() {
    const sound = await this.recorder.start();
    try {
      await this.stream.open();
    } catch (error) {
      await this.recorder.stop();
      throw error;
    }
    return sound;
  }

  /** Ends the call. @returns {Promise<File>} the recording */
  async stop() {
    await this.recorder.stop();
    await this.stream.finish();
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
    on("backpressure", ({ state }) => this.#tell(state === "slow" ? "slow" : "well"));
    on("again", () => this.#tell("again"));
    on("session.resumed", () => this.#tell("well"));
    on("error", ({ fatal, problem }) => !fatal && this.#tell("problem", new Problem(problem.status, problem)));
    on("failed", (problem) => this.#tell("failed", problem));
  }

  /** @param {Int16Array} piece */
  #take(piece) {
    this.pieces.push(piece);
    this.samples += piece.length;
    this.stream.push(piece);
    this.#tell("moment");
  }

  #score({ as_of_ms, urgency, sentiment, abstain, alarm, listening }) {
    this.moments.push({ at_ms: as_of_ms, probabilities: urgency?.probabilities ?? {}, abstain });
    this.#change({ urgency, sentiment, abstain, alarm, listening: listening ?? this.call.listening });
  }

  #change(facts) {
    this.call = { ...this.call, ...facts, duration_ms: this.duration_ms };
    this.#tell("change");
  }

  /** @param {string} type @param {unknown} [detail] */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function emptyCall() {
  return {
    urgency: null, sentiment: null, abstain: null, alarm: null, listening: "none", duration_ms: 0, utterances: [],
    rejected: [], model: null,
  };
}
