/** The models that the server has, read once and again on demand. */
export class ServedModels {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    /** @type {any} */
    this.description = null;
  }

  /** Reads them. @returns {Promise<any>} the answer of `GET /v1/models` */
  async read() {
    this.description = await this.api.models();
    return this.description;
  }

  /** The thresholds of the urgency model by the way of listening. @returns {Record<string, Record<string, number>>} */
  thresholds() {
    return this.description?.urgency?.thresholds ?? {};
  }

  /** The columns that any attention model needs; empty before they are known. @returns {Set<string>} */
  columns() {
    return new Set(Object.values(this.description?.attention ?? {}).flatMap((model) => model.columns));
  }
}
