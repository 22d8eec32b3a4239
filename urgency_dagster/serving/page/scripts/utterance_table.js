import { clock } from "./clock.js";
import { element, shareBar } from "./element.js";
import { colourOf, HIGH, levelBadge } from "./levels.js";
import { focusRows, selectRow } from "./row_focus.js";

/** The utterances of a call as a table: the accessible view, which the waveform follows. It sends `choose`. */
export class UtteranceTable extends EventTarget {
  /** @param {import("./words.js").Words} words */
  constructor(words) {
    super();
    this.words = words;
    this.utterances = [];
    this.body = element("tbody");
    this.element = element("div", { class: "utterances table-scroll" });
    focusRows(this.body, {
      moved: (place) => this.dispatchEvent(new CustomEvent("move", { detail: place })),
      chosen: (place) => this.dispatchEvent(new CustomEvent("choose", { detail: place })),
    });
  }

  /** @param {object[]} utterances @param {boolean} text whether the text is shown */
  show(utterances, text) {
    this.utterances = utterances;
    this.withText = text;
    this.render();
  }

  /** Writes the table again, as when the language changes. */
  render() {
    const selected = Math.max(0, [...this.body.rows].findIndex((row) => row.tabIndex === 0));
    this.body.replaceChildren(...this.utterances.map((utterance, place) => this.#row(utterance, place)));
    if (this.utterances.length) selectRow(this.body, Math.min(selected, this.utterances.length - 1));
    this.element.replaceChildren(element("table", { role: "grid", "aria-labelledby": "utterances-title", "aria-describedby": "utterances-hint" },
      element("thead", {}, element("tr", {}, ...this.#columns().map((name) => element("th", { scope: "col" }, name)))),
      this.body));
  }

  /** Marks the utterance at a time, if there is one. @param {number} time_ms */
  follow(time_ms) {
    const place = this.utterances.findIndex(({ start_ms, end_ms }) => start_ms <= time_ms && time_ms < end_ms);
    if (place >= 0) this.mark(place);
  }

  /** Marks one utterance. @param {number} place */
  mark(place) {
    const row = this.body.rows[place];
    if (!row || row.getAttribute("aria-selected") === "true") return;
    const focused = this.body.contains(document.activeElement);
    selectRow(this.body, place);
    if (focused) row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  #columns() {
    const names = ["number", "time", "speaker", "urgency", "high", "sentiment", ...(this.withText ? ["text"] : [])];
    return names.map((name) => this.words.say(`column.${name}`));
  }

  #row(utterance, place) {
    const { start_ms, end_ms, speaker, urgency, sentiment, text } = utterance;
    return element("tr", { "aria-selected": "false", tabindex: -1, "data-place": place },
      element("th", { scope: "row", role: "rowheader" }, place + 1),
      element("td", {}, `${clock(start_ms)} – ${clock(end_ms)}`),
      element("td", {}, speaker ? this.words.name("speaker", speaker) : this.words.say("none")),
      element("td", {}, levelBadge(this.words, urgency)),
      element("td", {}, this.#high(urgency)),
      element("td", {}, this.#sentiment(sentiment)),
      this.withText ? element("td", { class: "text", lang: "ko" }, text ?? this.words.say("none")) : null);
  }

  #high(urgency) {
    if (!urgency) return this.words.say("none");
    const high = urgency.probabilities[HIGH];
    const bar = shareBar(high, this.words.say("column.high"), `fill-${colourOf(urgency.label)}`);
    return element("div", { class: "bar-cell" }, element("span", { class: "number" }, this.words.percent(high)), bar);
  }

  #sentiment(sentiment) {
    if (!sentiment) return this.words.say("none");
    const share = this.words.percent(sentiment.probabilities[sentiment.label]);
    return element("span", {}, `${this.words.name("sentiment", sentiment.label)} `, element("span", { class: "muted small" }, share));
  }
}
