import { dataTable, element } from "./element.js";
import { busy, emptyPlace, errorMessage, message } from "./messages.js";

/** The view of the models: what answers, from which data, and that scores are no decision. */
export class ModelsView {
  /** @param {HTMLElement} place @param {import("./main.js").Context} context */
  constructor(place, { words, models }) {
    Object.assign(this, { words, models });
    this.panel = element("div", { class: "stack" });
    place.append(element("div", { class: "view-head" }, element("h1", { id: "models-title", "data-word": "models.title" }), element("p", { "data-word": "models.subtitle" })), this.panel);
  }

  /** Reads the models of now. */
  async open() {
    this.#render(() => [busy(this.words.say("models.busy"))]);
    try {
      const description = await this.models.read();
      this.#render(() => [message("note", this.words.say("models.no_decision"), this.words.say("models.no_decision_why")), this.#urgency(description.urgency), this.#attention(description.attention)]);
    } catch (error) {
      this.#render(() => [errorMessage(this.words, error)]);
    }
  }

  render() {
    this.shown?.();
  }

  /** @param {() => Node[]} content */
  #render(content) {
    this.shown = () => this.panel.replaceChildren(...content());
    this.shown();
  }

  #urgency(model) {
    const head = element("div", { class: "panel-head" }, element("h2", {}, this.words.say("models.urgency")));
    if (!model) return element("section", { class: "panel" }, head, emptyPlace(this.words.say("models.none"), this.words.say("reports.run")));
    const facts = {
      sha256: element("span", { class: "hash" }, model.sha256),
      data: element("span", { class: "hash" }, model.data_sha256 || this.words.say("none")),
      speech: element("span", { class: "hash" }, Object.values(model.speech_model).filter(Boolean).join(" · ") || this.words.say("none")),
      thresholds: this.#thresholds(model.thresholds),
    };
    return element("section", { class: "panel" }, head, element("dl", { class: "facts" }, ...Object.entries(facts).flatMap(([name, fact]) => [element("dt", {}, this.words.say(`models.${name}`)), element("dd", {}, fact)])));
  }

  #thresholds(thresholds) {
    const said = Object.entries(thresholds).flatMap(([listening, values]) => Object.entries(values).map(([name, value]) =>
      `${this.words.name("listening", listening)}: ${this.words.say(`models.${name}`)} ${this.words.percent(value)}`));
    return said.length ? element("span", { class: "lines" }, ...said.map((line) => element("span", {}, line))) : this.words.say("thresholds.none");
  }

  #attention(models) {
    const names = Object.keys(models);
    const head = element("div", { class: "panel-head" }, element("h2", {}, this.words.say("models.attention")));
    if (!names.length) return element("section", { class: "panel" }, head, emptyPlace(this.words.say("models.none"), this.words.say("reports.run")));
    const columns = ["model", "columns", "threshold", "sha256", "data"].map((name) => this.words.say(`models.${name}`));
    return element("section", { class: "panel" }, head, dataTable(this.words.say("models.attention_caption"), columns, names.map((name) => [
      this.words.name("model", name), this.words.count(models[name].columns.length), this.words.percent(models[name].threshold), hash(models[name].sha256), hash(models[name].data_sha256)]), { numbers: false }));
  }
}

/** The start of a hash; the whole of it as a tip. @param {string} sha256 */
function hash(sha256) {
  return element("span", { class: "hash", title: sha256 }, sha256.slice(0, 16));
}
