import { Problem } from "./api.js";

const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/**
 * A call in progress at the server. It sends the events of the protocol by their `type`, each with the whole event as
 * detail, and `lost` when the connection ends before the call does.
 */
export class CallStream extends EventTarget {
  /** @param {import("./api.js").Api} api @param {number} sampleRate */
  constructor(api, sampleRate) {
    super();
    this.api = api;
    this.sampleRate = sampleRate;
    this.finished = false;
  }

  /** Opens the connection. @returns {Promise<void>} once the server has made the session */
  open() {
    this.socket = this.api.stream();
    this.socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      this.addEventListener("session.created", () => resolve(), { once: true });
      this.addEventListener("lost", () => reject(new Problem(0, {})), { once: true });
      this.socket.onopen = () => this.#send({ type: "session.start", sample_rate: this.sampleRate });
      this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
      this.socket.onclose = () => this.dispatchEvent(new CustomEvent(this.finished ? "end" : "lost"));
    });
  }

  /** Sends a piece of sound; false if so much waits that it was left out. @param {Int16Array} piece */
  push(piece) {
    if (this.socket.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > MAX_WAITING_BYTES) return false;
    this.socket.send(piece);
    return true;
  }

  /** Ends the call. @returns {Promise<void>} once the server has said its last */
  finish() {
    this.finished = true;
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.resolve();
    const ended = new Promise((resolve) => this.addEventListener("end", () => resolve(undefined), { once: true }));
    this.#send({ type: "finish" });
    return /** @type {Promise<void>} */ (ended);
  }

  /** @param {{type: string}} event */
  #hear(event) {
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
  }

  /** @param {object} event */
  #send(event) {
    this.socket.send(JSON.stringify(event));
  }
}
