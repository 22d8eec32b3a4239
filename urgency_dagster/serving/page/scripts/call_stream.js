import { Problem } from "./api.js";

const MAX_BUFFERED_BYTES = 1024 * 1024;
const RETRY_MS = 1000;
const UNREACHED = new Problem(0, {});

/**
 * A call in progress at the server (`urgency-stream.v1`). It sends the events of the protocol by their `type`, with the
 * whole event as detail; `again` while it goes on after a lost connection; and `failed` with a `Problem` at an end that
 * was not asked for.
 */
export class CallStream extends EventTarget {
  /** @type {Int16Array[]} every piece of the call; a resumed session may want some again */
  #pieces = [];
  #next = 0;
  #slow = false;
  #ready = false;
  /** @type {"open" | "finishing" | "finish_sent" | "over"} */
  #state = "open";
  #session = null;
  #sequence = 0;
  #giveUp_ms = 0;

  /** @param {import("./api.js").Api} api @param {number} sampleRate */
  constructor(api, sampleRate) {
    super();
    this.api = api;
    this.sampleRate = sampleRate;
  }

  /** Opens the connection. @returns {Promise<void>} once the server has made the session */
  open() {
    return new Promise((resolve, reject) => {
      this.addEventListener("session.created", () => resolve(), { once: true });
      this.addEventListener("failed", ({ detail }) => reject(detail), { once: true });
      this.#connect();
    });
  }

  /** Sends a piece of sound as soon as the server takes it. @param {Int16Array} piece */
  push(piece) {
    this.#pieces.push(piece);
    this.#flush();
  }

  /** Ends the call after its last piece. @returns {Promise<void>} once the server has said its last, or failed */
  finish() {
    if (this.#state === "over") return Promise.resolve();
    this.#state = "finishing";
    const ended = new Promise((resolve) => this.addEventListener("end", () => resolve(undefined), { once: true }));
    this.#flush();
    return /** @type {Promise<void>} */ (ended);
  }

  #connect() {
    this.socket = this.api.stream();
    const resume = this.#session && { session: this.#session.session, sequence: this.#sequence };
    const start = { type: "session.start", sample_rate: this.sampleRate, ...(resume ? { resume } : {}) };
    this.socket.onopen = () => this.socket.send(JSON.stringify(start));
    this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    this.socket.onclose = () => this.#lose();
  }

  /** @param {any} event of the server */
  #hear(event) {
    this.#sequence = Math.max(this.#sequence, event.sequence ?? 0);
    if (event.type === "session.created") this.#begin(event);
    if (event.type === "session.resumed") this.#resume(event);
    if (event.type === "backpressure") this.#slow = event.state === "slow";
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
    if (event.type === "session.finished") this.#end();
    else if (event.type === "error" && event.fatal) this.#fail(new Problem(event.problem.status, event.problem));
    else this.#flush();
  }

  #begin(event) {
    this.#session = event;
    this.#ready = true;
  }

  /** Goes on with the first byte that the server does not have. */
  #resume({ audio_bytes, messages }) {
    let missing = audio_bytes;
    this.#next = 0;
    while (this.#next < this.#pieces.length && missing >= this.#pieces[this.#next].byteLength) {
      missing -= this.#pieces[this.#next++].byteLength;
    }
    if (missing) this.#split(missing / Int16Array.BYTES_PER_ELEMENT);
    if (this.#state === "finish_sent" && !messages) this.#state = "finishing";
    this.#slow = false;
    this.#ready = true;
    this.#giveUp_ms = 0;
  }

  /** Makes two pieces of the next one, and goes on with the second. @param {number} samples of the first */
  #split(samples) {
    const piece = this.#pieces[this.#next];
    this.#pieces.splice(this.#next++, 1, piece.subarray(0, samples), piece.subarray(samples));
  }

  #flush() {
    if (!this.#ready || this.#slow || this.socket.readyState !== WebSocket.OPEN) return;
    while (this.#next < this.#pieces.length && this.socket.bufferedAmount < MAX_BUFFERED_BYTES) {
      this.socket.send(this.#pieces[this.#next++]);
    }
    if (this.#state !== "finishing") return;
    if (this.#next < this.#pieces.length) setTimeout(() => this.#flush(), RETRY_MS);
    else {
      this.#state = "finish_sent";
      this.socket.send(JSON.stringify({ type: "finish" }));
    }
  }

  /** Connects again as long as the server keeps the session. */
  #lose() {
    this.#ready = false;
    if (this.#state === "over") return;
    const now_ms = performance.now();
    this.#giveUp_ms ||= now_ms + (this.#session?.limits?.resume_s ?? 0) * 1000;
    if (!this.#session || now_ms > this.#giveUp_ms) this.#fail(UNREACHED);
    else {
      this.dispatchEvent(new Event("again"));
      setTimeout(() => this.#connect(), RETRY_MS);
    }
  }

  /** @param {Problem} problem */
  #fail(problem) {
    this.#end();
    this.dispatchEvent(new CustomEvent("failed", { detail: problem }));
  }

  #end() {
    this.#state = "over";
    this.socket.close();
    this.dispatchEvent(new Event("end"));
  }
}
