import { callSummary, decisions } from "./call_summary.js";
import { clock } from "./clock.js";
import { element } from "./element.js";
import { HIGH } from "./levels.js";
import { UrgencyChart } from "./urgency_chart.js";
import { UtteranceTable } from "./utterance_table.js";
import { Waveform } from "./waveform.js";

/** One call on the screen: decisions, summary, waveform with chart, and the table of utterances. It sends `text`. */
export class CallDisplay extends EventTarget {
  /** @param {import("./words.js").Words} words */
  constructor(words) {
    super();
    this.words = words;
    this.call = null;
    this.moments = [];
    this.thresholds = {};
    this.decisions = element("div", {});
    this.summary = element("div", { class: "panel" });
    this.#buildTimeline();
    this.#buildTable();
    this.element = element("div", { class: "stack", hidden: true }, this.decisions, this.summary, this.timeline, this.tablePanel);
  }

  /** Makes the waveform. Its place must be on the page by then. */
  attach() {
    this.waveform = new Waveform(this.waveformPlace, this.words);
    this.chart = new UrgencyChart(this.chartPlace);
    this.waveform.addEventListener("time", ({ detail }) => this.#followTime(detail));
    this.waveform.addEventListener("playing", ({ detail }) => this.#showPlaying(detail));
    this.waveform.addEventListener("choose", ({ detail }) => this.#play(detail));
  }

  /**
   * Shows what is known of a call by now.
   *
   * @param {import("./call_summary.js").Call} call
   * @param {{at_ms: number, probabilities: Record<string, number>, abstain?: boolean | null}[]} moments
   * @param {Record<string, Record<string, number>>} thresholds by the way of listening
   */
  show(call, moments, thresholds) {
    Object.assign(this, { call, moments, thresholds });
    this.element.hidden = false;
    this.render();
  }

  /** @param {Blob} audio of the call that is shown */
  async load(audio) {
    this.play.disabled = true;
    await this.waveform.load(audio);
    this.waveform.show(this.call.utterances);
    this.play.disabled = false;
    this.#followTime(0);
  }

  render() {
    this.words.fill(this.element);
    this.#showPlaying(false);
    if (!this.call) return;
    this.#renderDecisions();
    this.summary.replaceChildren(callSummary(this.words, this.call));
    this.table.show(this.call.utterances, this.text.checked);
    if (!this.play.disabled) this.waveform.show(this.call.utterances);
    this.#renderChart();
  }

  /** Writes messages only if they changed, so that a screen reader says each once. */
  #renderDecisions() {
    const found = decisions(this.words, this.call);
    const said = found.map((item) => item.textContent).join();
    if (said === this.said) return;
    this.said = said;
    this.decisions.replaceChildren(...found);
  }

  #renderChart() {
    const { alarm_from: alarmFrom = null, answer_from: answerFrom = null } = this.thresholds[this.call.listening] ?? {};
    const moments = this.moments.map(({ at_ms, probabilities, abstain }) => ({
      at_ms, high: probabilities[HIGH] ?? null, abstain: abstain ?? isUnsure(probabilities, answerFrom),
    }));
    this.keys.alarm.hidden = alarmFrom === null;
    this.keys.abstain.hidden = !moments.some(({ abstain }) => abstain);
    this.chartPlace.setAttribute("aria-label", this.words.say("chart.label", this.#extremes(moments)));
    this.chart.show({ duration_ms: this.call.duration_ms, utterances: this.call.utterances, moments, alarmFrom });
  }

  #extremes(moments) {
    const shares = moments.map(({ high }) => high ?? 0);
    const said = (share) => (shares.length ? this.words.percent(share) : this.words.say("none"));
    return { last: said(shares.at(-1)), highest: said(Math.max(...shares)) };
  }

  #buildTimeline() {
    this.play = element("button", { type: "button", disabled: true, onclick: () => this.waveform.playOrPause() });
    this.time = element("span", { class: "number muted" });
    this.waveformPlace = element("div", { class: "waveform", role: "img", "data-word-label": "waveform.label" });
    this.chartPlace = element("div", { class: "chart", role: "img" });
    const key = (/** @type {string} */ name) => element("span", { class: `key key-${name}`, "data-word": `chart.${name}` });
    this.keys = { call: key("call"), utterance: key("utterance"), abstain: key("abstain"), alarm: key("alarm") };
    this.timeline = element("section", { class: "panel timeline", "aria-labelledby": "timeline-title" },
      element("div", { class: "panel-head" },
        element("h2", { id: "timeline-title", "data-word": "timeline.title" }),
        element("div", { class: "player" }, this.play, this.time),
        element("div", { class: "timeline-labels end" }, ...Object.values(this.keys))),
      this.waveformPlace, this.chartPlace);
  }

  #buildTable() {
    this.table = new UtteranceTable(this.words);
    this.table.addEventListener("choose", ({ detail }) => this.#play(detail));
    this.text = element("input", { type: "checkbox", role: "switch", onchange: () => this.dispatchEvent(new Event("text")) });
    this.tablePanel = element("section", { class: "panel", "aria-labelledby": "utterances-title" },
      element("div", { class: "panel-head" },
        element("h2", { id: "utterances-title", "data-word": "utterances.title" }),
        element("p", { id: "utterances-hint", class: "muted small", "data-word": "utterances.hint" }),
        element("label", { class: "switch end" }, this.text, element("span", { "data-word": "utterances.text" }))),
      this.table.element);
  }

  #followTime(time_ms) {
    this.time.textContent = `${clock(time_ms)} / ${clock(this.call?.duration_ms ?? 0)}`;
    this.chart.moveTo(time_ms);
    if (this.isPlaying) this.table.follow(time_ms);
  }

  #play(place) {
    this.table.mark(place);
    if (!this.play.disabled) this.waveform.play(place);
  }

  #showPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    this.play.textContent = this.words.say(isPlaying ? "player.pause" : "player.play");
  }
}

/** Whether the most probable class is below the threshold; null without one. */
function isUnsure(probabilities, answerFrom) {
  return answerFrom === null ? null : Math.max(...Object.values(probabilities)) < answerFrom;
}
