/** Two short tones. A browser allows them only after the reader has used the page. */
export function playAlarm() {
  const context = new AudioContext();
  const volume = new GainNode(context, { gain: 0.15 });
  volume.connect(context.destination);
  for (const [start, frequency] of [[0, 660], [0.28, 880]]) {
    const tone = new OscillatorNode(context, { frequency });
    tone.connect(volume);
    tone.start(context.currentTime + start);
    tone.stop(context.currentTime + start + 0.2);
  }
  setTimeout(() => context.close(), 1000);
}
