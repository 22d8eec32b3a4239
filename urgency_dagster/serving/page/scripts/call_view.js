import { playAlarm } from "./alarm_sound.js";
import { CallDisplay } from "./call_display.js";
import { CallIntake } from "./call_intake.js";
import { clock } from "./clock.js";
import { element } from "./element.js";
import { LiveCall } from "./live_call.js";
import { busy, emptyPlace, errorMessage, message } from "./messages.js";
import { remember, remembered } from "./preferences.js";
import { runningScore } from "./running_score.js";
import { readTurns } from "./turns_file.js";

const SOUND = "sound";

/** The view of one call: a recording, or the microphone. */
export class CallView {
  /** @param {HTMLElement} place @param {import("./main.js").Context} context */
  constructor(place, { api, words, models }) {
    Object.assign(this, { api, words, models });
    this.intake = new CallIntake(words);
    this.display = new CallDisplay(words);
    this.notice = element("div", {});
    this.empty = element("div", { class: "panel" });
    this.sound = element("input", { type: "checkbox", role: "switch", onchange: () => remember(SOUND, String(this.sound.checked)) });
    this.sound.checked = remembered(SOUND) === "true";
    place.append(this.#head(), element("div", { class: "stack" }, this.intake.element, this.notice, this.empty, this.display.element));
    this.display.attach();
    this.#listen();
    this.render();
  }

  render() {
    this.intake.render();
    this.display.render();
    this.empty.replaceChildren(emptyPlace(this.words.say("call.empty"), this.words.say("call.empty_hint")));
    this.showNotice?.();
  }

  open() {}

  #head() {
    return element("div", { class: "view-head" },
      element("h1", { id: "call-title", "data-word": "call.title" }),
      element("p", { "data-word": "call.subtitle" }),
      element("label", { class: "switch end" }, this.sound, element("span", { "data-word": "call.sound" })));
  }

  #listen() {
    this.intake.addEventListener("analyse", ({ detail }) => this.#analyse(detail));
    this.intake.addEventListener("record", () => this.#record());
    this.intake.addEventListener("stop", () => this.#stop());
    this.display.addEventListener("text", () => this.#askForText());
  }

  /** Shows a notice that is written again when the language changes. @param {(() => Node) | null} notice */
  #notify(notice) {
    this.showNotice = () => this.notice.replaceChildren(...(notice ? [notice()] : []));
    this.showNotice();
  }

  /** Does some work, and says so meanwhile; an error becomes a message. @param {string} word @param {() => Promise<void>} work */
  async #attempt(word, work) {
    this.intake.showBusy(true);
    this.#notify(() => busy(this.words.say(word)));
    try {
      await work();
      this.#notify(null);
    } catch (error) {
      this.#notify(() => errorMessage(this.words, error));
    } finally {
      this.intake.showBusy(false);
    }
  }

  /** @param {{audio: File, turns: File | null}} files */
  #analyse({ audio, turns }) {
    return this.#attempt("call.busy", async () => {
      this.asked = { audio, turns: turns && (await readTurns(turns)) };
      this.display.text.checked = false;
      await this.#ask();
      await this.display.load(audio);
    });
  }

  /** Asks for the call that is chosen, and shows the answer. */
  async #ask() {
    const { audio, turns } = this.asked;
    const call = await this.api.call(audio, turns, { text: this.display.text.checked });
    this.#show(call, call.urgency ? runningScore(call.utterances, call.urgency.probabilities) : []);
    if (call.alarm) this.#soundAlarm();
  }

  #show(call, moments) {
    this.empty.hidden = true;
    this.display.show(call, moments, this.models.thresholds());
  }

  #askForText() {
    if (!this.asked || !this.display.text.checked) return this.display.render();
    return this.#attempt("call.busy_text", () => this.#ask());
  }

  #record() {
    return this.#attempt("microphone.busy", async () => {
      const live = new LiveCall(this.api);
      this.#watch(live);
      this.display.text.checked = false;
      const sound = await live.start();
      this.#show(live.call, []);
      this.live = live;
      this.endPreview = this.display.waveform.follow(sound);
      this.intake.showRecording(true);
    });
  }

  /** @param {LiveCall} live */
  #watch(live) {
    live.addEventListener("change", () => this.live && this.#showLive(live));
    live.addEventListener("moment", () => this.intake.showLength(clock(live.duration_ms)));
    for (const state of ["slow", "again"]) {
      live.addEventListener(state, () => this.#notify(() => message("note", this.words.say(`stream.${state}`))));
    }
    live.addEventListener("well", () => this.#notify(null));
    live.addEventListener("problem", ({ detail }) => this.#notify(() => errorMessage(this.words, detail)));
    live.addEventListener("failed", ({ detail }) => this.#end(live, detail));
  }

  /** @param {LiveCall} live */
  #showLive(live) {
    const hadAlarm = this.display.call?.alarm;
    this.#show(live.call, live.moments);
    if (live.call.alarm && !hadAlarm) this.#soundAlarm();
  }

  /** Ends the call from the microphone, once, whoever asks. */
  #stop() {
    const { live } = this;
    this.stopping ??= this.#attempt("stream.ending", async () => this.#keep(live, await live.stop()))
      .finally(() => { this.stopping = null; });
    return this.stopping;
  }

  /** Shows a finished call from the microphone like one from a file. @param {LiveCall} live @param {File} audio */
  async #keep(live, audio) {
    this.#showLive(live);
    this.live = null;
    this.endPreview();
    this.intake.showRecording(false);
    this.asked = { audio, turns: null };
    await this.display.load(audio);
  }

  /** Ends a live call that failed at the server. The recording stays. @param {LiveCall} live @param {unknown} error */
  async #end(live, error) {
    if (this.live !== live) return;
    await this.#stop();
    this.#notify(() => errorMessage(this.words, error));
  }

  #soundAlarm() {
    if (this.sound.checked) playAlarm();
  }
}
