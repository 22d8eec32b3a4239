/** The requests of the page. Every address is relative to the page, so that a proxy may put it below a path. */

const STREAM_PROTOCOL = "urgency-stream.v1";

/** What the server says when it has no answer (RFC 9457). */
export class Problem extends Error {
  /** @param {number} status 0 if the server was not reached @param {Record<string, any>} document */
  constructor(status, document) {
    super(document.title ?? String(status));
    this.status = status;
    this.document = document;
  }

  /** The end of its type, such as `no-speech`; its status where it has none. */
  get kind() {
    const type = String(this.document.type ?? "");
    return type.startsWith("urn:") ? type.slice(type.lastIndexOf(":") + 1) : String(this.status);
  }
}

export class Api {
  /** @param {import("./token.js").TokenKeeper} tokens */
  constructor(tokens) {
    this.tokens = tokens;
  }

  /**
   * Urgency and sentiment of a recording.
   *
   * @param {Blob & {name?: string}} audio
   * @param {object[] | null} turns what is said and when; null lets the server listen
   * @param {{text?: boolean}} [options] whether the answer has the text of the utterances
   */
  async call(audio, turns, { text = false } = {}) {
    const form = new FormData();
    form.append("audio", audio, audio.name ?? "recording.wav");
    if (turns) form.append("turns", JSON.stringify(turns));
    return this.#json(`v1/calls${text ? "?text=true" : ""}`, { method: "POST", body: form });
  }

  /**
   * The answers of every attention model.
   *
   * @param {Record<string, number|boolean>[]} rows
   * @param {number} reasons features to name for each row
   */
  attention(rows, reasons) {
    const headers = { "Content-Type": "application/json" };
    return this.#json("v1/attention", { method: "POST", headers, body: JSON.stringify({ rows, reasons }) });
  }

  models() {
    return this.#json("v1/models");
  }

  /** @param {string} [name] of a report; none for the names of all */
  report(name = "") {
    return this.#json(name ? `v1/reports/${name.split("/").map(encodeURIComponent).join("/")}` : "v1/reports");
  }

  /** A picture of a report, as an address for an image. @param {string} report @param {string} name */
  async picture(report, name) {
    const answer = await this.#fetch(`v1/reports/${report}/pictures/${encodeURIComponent(name)}`);
    return URL.createObjectURL(await answer.blob());
  }

  /** Opens the stream of a call in progress. */
  stream() {
    const address = new URL("v1/calls/stream", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(address, [STREAM_PROTOCOL, ...this.tokens.protocols()]);
  }

  /** @param {string} path @param {RequestInit} [options] */
  async #json(path, options) {
    return (await this.#fetch(path, options)).json();
  }

  /** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} */
  async #fetch(path, options = {}) {
    const headers = { ...options.headers, ...this.tokens.headers() };
    const answer = await fetch(path, { ...options, headers }).catch(() => {
      throw new Problem(0, {});
    });
    if (answer.status === 401 && (await this.tokens.ask())) return this.#fetch(path, options);
    if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
    return answer;
  }
}
