import { element, shareBar } from "./element.js";
import { busy, emptyPlace, errorMessage } from "./messages.js";
import { focusRows, selectRow } from "./row_focus.js";
import { readRows } from "./row_file.js";

const REASONS = 5;

/** The view of attention: rows of a file, the answers of all models beside each other, and why. */
export class AttentionView {
  /** @param {HTMLElement} place @param {import("./main.js").Context} context */
  constructor(place, { api, words, models }) {
    Object.assign(this, { api, words, models });
    this.chosen = 0;
    this.answers = null;
    this.input = element("input", { type: "file", id: "file-rows", class: "file-input", accept: ".csv,.json,text/csv,application/json", onchange: () => this.#ask(this.input.files[0]) });
    this.fileName = element("span", { class: "file-name" });
    this.notice = element("div", { role: "status" });
    this.result = element("div", { class: "stack" });
    this.body = element("tbody");
    focusRows(this.body, { moved: (row) => this.#choose(row), chosen: (row) => this.#choose(row) });
    place.append(this.#head(), element("div", { class: "stack" }, this.#drop(), this.notice, this.result));
    this.render();
  }

  open() {}

  render() {
    this.fileName.textContent = this.file?.name ?? this.words.say("attention.no_file");
    this.showNotice?.();
    this.result.replaceChildren(...(this.answers ? [this.cards = element("div", { class: "model-cards" }), this.#rows()] : [this.#empty()]));
    if (this.answers) this.#choose(this.chosen);
  }

  #head() {
    return element("div", { class: "view-head" }, element("h1", { id: "attention-title", "data-word": "attention.title" }), element("p", { "data-word": "attention.subtitle" }));
  }

  #drop() {
    const drop = element("div", {
      class: "panel", ondragover: (event) => event.preventDefault(),
      ondrop: (event) => { event.preventDefault(); this.#ask(event.dataTransfer.files[0]); },
    }, element("div", { class: "drop" }, element("div", { class: "file" }, this.input,
      element("label", { for: "file-rows", class: "button", "data-word": "attention.choose" }), this.fileName)));
    return drop;
  }

  #empty() {
    return element("div", { class: "panel" }, emptyPlace(this.words.say("attention.empty"), this.words.say("attention.empty_hint")));
  }

  /** @param {File | undefined} file */
  async #ask(file) {
    if (!file) return;
    this.file = file;
    this.#notify(() => busy(this.words.say("attention.busy")));
    try {
      const rows = await readRows(file);
      const answer = await this.api.attention(await this.#needed(rows), REASONS);
      Object.assign(this, { answers: answer.models, chosen: 0 });
      this.#notify(null);
    } catch (error) {
      this.answers = null;
      this.#notify(() => errorMessage(this.words, error));
    }
    this.render();
  }

  /** The rows with the columns of the models only, so that an id or a note in the file stays in the browser. */
  async #needed(rows) {
    if (!this.models.description) await this.models.read();
    const columns = this.models.columns();
    return rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => columns.has(name))));
  }

  /** @param {(() => Node) | null} notice */
  #notify(notice) {
    this.showNotice = () => this.notice.replaceChildren(...(notice ? [notice()] : []));
    this.showNotice();
  }

  /** @param {number} row */
  #choose(row) {
    this.chosen = row;
    selectRow(this.body, row);
    this.cards.replaceChildren(...Object.entries(this.answers).map(([name, answer]) => this.#card(name, answer, answer.rows[row])));
  }

  #card(name, { threshold, explanation }, { label, probability, reasons }) {
    const title = this.words.say("attention.probability");
    return element("article", { class: "model-card", "aria-label": this.words.name("model", name) },
      element("h2", {}, this.words.name("model", name)),
      element("p", { class: "answer" }, this.words.say(`attention.class_${label}`), element("span", {}, this.words.percent(probability))),
      shareBar(probability, title),
      element("p", { class: "muted small" }, this.words.say("attention.threshold", { threshold: this.words.percent(threshold) })),
      element("ul", { class: "reasons", "aria-label": this.words.say("attention.reasons") }, ...this.#reasons(reasons)),
      explanation ? element("p", { class: "muted small" }, this.words.say("attention.unit", { unit: this.words.name("unit", explanation.unit) })) : null);
  }

  #reasons(reasons) {
    const largest = Math.max(...reasons.map(({ contribution }) => Math.abs(contribution)), Number.MIN_VALUE);
    return reasons.map(({ feature, value, contribution }) => {
      const side = contribution > 0 ? "for" : "against";
      return element("li", {},
        element("code", {}, feature),
        element("span", { class: "muted" }, `= ${shortNumber(value)}`),
        element("span", { class: "number" }, `${contribution > 0 ? "+" : "−"}${shortNumber(Math.abs(contribution))}`),
        shareBar(Math.abs(contribution) / largest, this.words.say(`attention.${side}`), side));
    });
  }

  #rows() {
    const names = Object.keys(this.answers);
    const count = this.answers[names[0]].rows.length;
    this.body.replaceChildren(...Array.from({ length: count }, (_, row) => this.#row(names, row)));
    return element("section", { class: "panel attention-rows", "aria-labelledby": "rows-title" },
      element("div", { class: "panel-head" }, element("h2", { id: "rows-title" }, this.words.say("attention.rows", { count: this.words.count(count) })),
        element("p", { class: "muted small", id: "rows-hint" }, this.words.say("attention.rows_hint"))),
      element("div", { class: "table-scroll" }, element("table", { role: "grid", "aria-labelledby": "rows-title", "aria-describedby": "rows-hint" },
        element("thead", {}, element("tr", {}, ...[this.words.say("attention.row"), ...names.map((name) => this.words.name("model", name))].map((name) => element("th", { scope: "col" }, name)))),
        this.body)));
  }

  #row(names, row) {
    return element("tr", { tabindex: -1, "aria-selected": "false" }, element("th", { scope: "row", role: "rowheader" }, row + 1),
      ...names.map((name) => {
        const { label, probability } = this.answers[name].rows[row];
        return element("td", {}, `${this.words.say(`attention.class_${label}`)} `, element("span", { class: "muted small" }, this.words.percent(probability)));
      }));
  }
}

/** A number with at most three significant digits. @param {number} value */
function shortNumber(value) {
  return String(Number(value.toPrecision(3)));
}
