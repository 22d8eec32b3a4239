import { element } from "./element.js";

/**
 * Where a call comes in: a recording with turns or without, or the microphone. It sends `analyse` with
 * `{audio, turns}`, and `record` and `stop` for the microphone.
 */
export class CallIntake extends EventTarget {
  /** @param {import("./words.js").Words} words */
  constructor(words) {
    super();
    this.words = words;
    /** @type {{audio: File | null, turns: File | null}} */
    this.files = { audio: null, turns: null };
    this.fields = { audio: this.#field("audio", "audio/*,.wav,.flac,.mp3,.ogg"), turns: this.#field("turns", "application/json,.json") };
    this.analyse = element("button", { type: "submit", class: "primary", disabled: true, "data-word": "intake.analyse" });
    this.record = element("button", { type: "button", onclick: () => this.#toggleRecording() });
    this.dot = element("span", { class: "recording-dot", hidden: true });
    this.length = element("span", { class: "number", role: "timer" });
    this.element = element("div", { class: "panel intake" }, this.#drop(), this.#microphone());
    this.recording = false;
    this.render();
  }

  /** Writes its words again, as when the language changes. */
  render() {
    this.words.fill(this.element);
    this.record.textContent = this.words.say(this.recording ? "intake.stop" : "intake.record");
    for (const [name, { shown }] of Object.entries(this.fields)) {
      shown.textContent = this.files[name]?.name ?? this.words.say(`intake.no_${name}`);
    }
  }

  /** @param {boolean} recording */
  showRecording(recording) {
    this.recording = recording;
    this.dot.hidden = !recording;
    this.length.textContent = "";
    this.#enable();
    this.render();
  }

  /** @param {string} time length of the recording by now */
  showLength(time) {
    this.length.textContent = time;
  }

  /** @param {boolean} busy whether an answer is awaited */
  showBusy(busy) {
    this.busy = busy;
    this.#enable();
  }

  #enable() {
    this.analyse.disabled = !this.files.audio || this.recording || this.busy;
    this.record.disabled = Boolean(this.busy);
  }

  #drop() {
    const drop = element("form", {
      class: "drop",
      onsubmit: (event) => { event.preventDefault(); this.#send(); },
      ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); this.#take([...event.dataTransfer.files]); },
    }, ...Object.values(this.fields).map(({ item }) => item), this.analyse);
    return drop;
  }

  #microphone() {
    return element("div", { class: "microphone" }, this.record, this.dot, this.length);
  }

  #field(name, accept) {
    const id = `file-${name}`;
    const input = element("input", { type: "file", id, accept, class: "file-input", onchange: () => this.#take([...input.files], name) });
    const shown = element("span", { class: "file-name", id: `${id}-name` });
    input.setAttribute("aria-describedby", shown.id);
    const label = element("label", { for: id, class: "button", "data-word": `intake.${name}` });
    return { item: element("div", { class: "file" }, input, label, shown), shown };
  }

  /** Takes dropped files by their names, a chosen one by its field. @param {File[]} files @param {string} [field] */
  #take(files, field) {
    for (const file of files) this.files[field ?? (file.name.toLowerCase().endsWith(".json") ? "turns" : "audio")] = file;
    if (!files.length && field) this.files[field] = null;
    this.#enable();
    this.render();
  }

  #send() {
    this.dispatchEvent(new CustomEvent("analyse", { detail: { ...this.files } }));
  }

  #toggleRecording() {
    this.dispatchEvent(new Event(this.recording ? "stop" : "record"));
  }
}
