import { UnusableFile } from "./messages.js";

export const SAMPLE_RATE = 16_000;

/** Records the microphone as mono PCM16 at 16 kHz. It sends `piece` with each Int16Array. */
export class Recorder extends EventTarget {
  /** Asks for the microphone and starts. @returns {Promise<MediaStream>} */
  async start() {
    if (!navigator.mediaDevices) throw new UnusableFile("microphone.insecure");
    const audio = { channelCount: 1, echoCancellation: false, autoGainControl: false, noiseSuppression: false };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio }).catch(() => {
      throw new UnusableFile("microphone.refused");
    });
    this.context = new AudioContext({ sampleRate: SAMPLE_RATE });
    try {
      await this.#connect();
    } catch {
      await this.#release();
      throw new UnusableFile("microphone.refused");
    }
    return this.stream;
  }

  /** Hears the microphone. It throws in a browser that does not resample a microphone of another rate. */
  async #connect() {
    await this.context.audioWorklet.addModule(new URL("./pcm_worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "pcm", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.dispatchEvent(new CustomEvent("piece", { detail: data }));
    this.context.createMediaStreamSource(this.stream).connect(this.node);
  }

  /** Stops after the last piece. @returns {Promise<void>} */
  async stop() {
    const last = new Promise((resolve) => {
      this.addEventListener("piece", ({ detail }) => detail === null && resolve(undefined));
    });
    this.node.port.postMessage("end");
    await last;
    await this.#release();
  }

  /** Gives the microphone back. @returns {Promise<void>} */
  async #release() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
  }
}
