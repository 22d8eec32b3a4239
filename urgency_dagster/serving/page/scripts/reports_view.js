import { element } from "./element.js";
import { busy, emptyPlace, errorMessage } from "./messages.js";
import { attentionReport } from "./attention_report.js";
import { scoringReport } from "./scoring_report.js";
import { urgencyReport } from "./urgency_report.js";

/** The reports, each with the function that shows it. */
const REPORTS = { urgency: urgencyReport, attention: attentionReport, scoring: scoringReport };

/** The view of the reports: one tab for each. */
export class ReportsView {
  /** @param {HTMLElement} place @param {import("./main.js").Context} context */
  constructor(place, context) {
    Object.assign(this, { context, words: context.words });
    this.tabs = element("div", { class: "tabs", role: "tablist", "aria-labelledby": "reports-title", onkeydown: (event) => this.#move(event) },
      ...Object.keys(REPORTS).map((name) => this.#tab(name)));
    this.panel = element("div", { role: "tabpanel", id: "report-panel", class: "stack" });
    place.append(element("div", { class: "view-head" }, element("h1", { id: "reports-title", "data-word": "reports.title" }), element("p", { "data-word": "reports.subtitle" })), this.tabs, this.panel);
    this.chosen = "urgency";
    this.#mark();
  }

  /** Reads the chosen report. */
  open() {
    return this.#show(this.chosen);
  }

  /** Writes the report again in another language, if it was read. */
  render() {
    this.shown?.();
  }

  #tab(name) {
    return element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "report-panel", "data-word": `reports.${name}`, onclick: () => this.#show(name) });
  }

  #mark() {
    for (const tab of /** @type {Iterable<HTMLElement>} */ (this.tabs.children)) {
      const selected = tab.id === `tab-${this.chosen}`;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${this.chosen}`);
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(REPORTS);
    const next = names[(names.indexOf(this.chosen) + step + names.length) % names.length];
    document.getElementById(`tab-${next}`).focus();
    this.#show(next);
  }

  async #show(name) {
    this.chosen = name;
    this.#mark();
    this.#render(() => [busy(this.words.say("reports.busy"))]);
    try {
      const content = await this.#read(name);
      if (this.chosen === name) this.#render(content);
    } catch (error) {
      if (this.chosen === name) this.#render(() => [errorMessage(this.words, error)]);
    }
  }

  /** @param {string} name @returns {Promise<() => Node[]>} what writes the report */
  async #read(name) {
    const { reports, archives } = await this.context.api.report();
    const there = name === "scoring" ? archives.length : reports.includes(name);
    if (!there) return () => [element("div", { class: "panel" }, emptyPlace(this.words.say(`reports.no_${name}`), this.words.say("reports.run")))];
    return REPORTS[name](this.context, await this.context.api.report(name));
  }

  /** @param {() => Node[]} content */
  #render(content) {
    this.shown = () => this.panel.replaceChildren(...content());
    this.shown();
  }
}
