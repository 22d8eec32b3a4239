import RecordPlugin from "../vendor/wavesurfer.record.esm.js";
import RegionsPlugin from "../vendor/wavesurfer.regions.esm.js";
import WaveSurfer from "../vendor/wavesurfer.esm.js";
import { element } from "./element.js";
import { colourOf } from "./levels.js";
import { colour, onThemeChange } from "./preferences.js";

const HEIGHT = 96;
const MIN_LABEL_PX = 22;
const MIN_SPEAKER_PX = 110;

/** The sound of a call, with its utterances. It follows the table: nothing in it takes the focus. */
export class Waveform extends EventTarget {
  /** @param {HTMLElement} container @param {import("./words.js").Words} words */
  constructor(container, words) {
    super();
    Object.assign(this, { container, words });
    this.utterances = [];
    this.regions = RegionsPlugin.create();
    this.microphone = RecordPlugin.create({ scrollingWaveform: true, scrollingWaveformWindow: 10 });
    this.surfer = WaveSurfer.create({
      container, height: HEIGHT, barWidth: 2, barGap: 1, barRadius: 1, cursorWidth: 2, normalize: true,
      cspNonce: styleNonce(), plugins: [this.regions, this.microphone], ...waveColours(),
    });
    this.#listen();
    onThemeChange(() => this.#recolour());
  }

  /** @param {Blob} audio */
  async load(audio) {
    this.utterances = [];
    this.regions.clearRegions();
    await this.surfer.loadBlob(audio);
  }

  /** Shows the sound of the microphone. @param {MediaStream} stream @returns {() => void} ends it */
  follow(stream) {
    this.utterances = [];
    this.regions.clearRegions();
    const shown = this.microphone.renderMicStream(stream);
    return () => shown.onDestroy();
  }

  /** @param {{start_ms: number, end_ms: number, urgency: {label: string} | null}[]} utterances */
  show(utterances) {
    this.utterances = utterances;
    this.regions.clearRegions();
    utterances.forEach((utterance, place) => this.#addRegion(utterance, place));
  }

  /** Plays one utterance. @param {number} place */
  play(place) {
    const { start_ms, end_ms } = this.utterances[place];
    return this.surfer.play(start_ms / 1000, end_ms / 1000);
  }

  playOrPause() {
    return this.surfer.playPause();
  }

  #addRegion(utterance, place) {
    const level = colourOf(utterance.urgency?.label);
    const width = ((utterance.end_ms - utterance.start_ms) / 1000 / this.surfer.getDuration()) * this.container.clientWidth;
    this.regions.addRegion({
      id: String(place), start: utterance.start_ms / 1000, end: utterance.end_ms / 1000, drag: false, resize: false,
      color: wash(level), content: width >= MIN_LABEL_PX ? this.#label(utterance, level, width) : undefined,
    });
  }

  /** The level of an utterance, and who speaks where there is room. */
  #label({ urgency, speaker }, level, width) {
    const named = speaker && width >= MIN_SPEAKER_PX ? this.words.name("speaker", speaker) : null;
    const label = element("span", { part: "region-content" }, [urgency?.label, named].filter(Boolean).join(" · "));
    label.style.color = colour(level === "none" ? "--muted" : `--${level}`);
    return label;
  }

  #listen() {
    const send = (/** @type {string} */ name, /** @type {any} */ detail) =>
      this.dispatchEvent(new CustomEvent(name, { detail }));
    this.surfer.on("timeupdate", (time) => send("time", time * 1000));
    this.surfer.on("play", () => send("playing", true));
    this.surfer.on("pause", () => send("playing", false));
    this.regions.on("region-clicked", (region, event) => {
      event.stopPropagation();
      send("choose", Number(region.id));
    });
  }

  #recolour() {
    this.surfer.setOptions(waveColours());
    if (this.utterances.length) this.show(this.utterances);
  }
}

/** The nonce that lets the waveform style its shadow tree. */
function styleNonce() {
  return /** @type {HTMLMetaElement} */ (document.querySelector('meta[property="csp-nonce"]')).nonce;
}

function waveColours() {
  return { waveColor: colour("--wave"), progressColor: colour("--wave-played"), cursorColor: colour("--accent") };
}

/** The background of a level, through which the wave is seen. @param {string} level */
function wash(level) {
  return level === "none" ? "rgb(128 128 128 / 0.15)" : `color-mix(in srgb, ${colour(`--${level}-wash`)} 45%, transparent)`;
}
