/**
 * A WAV of mono PCM16.
 *
 * @param {Int16Array[]} pieces
 * @param {number} sampleRate
 */
export function wavOf(pieces, sampleRate) {
  const bytes = pieces.reduce((total, piece) => total + piece.byteLength, 0);
  return new File([wavHead(bytes, sampleRate), ...pieces], "recording.wav", { type: "audio/wav" });
}

/** The 44 bytes before the samples (RIFF, PCM). @param {number} bytes @param {number} sampleRate */
function wavHead(bytes, sampleRate) {
  const head = new DataView(new ArrayBuffer(44));
  const write = (/** @type {number} */ place, /** @type {string} */ text) =>
    [...text].forEach((letter, step) => head.setUint8(place + step, letter.charCodeAt(0)));
  write(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  write(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, sampleRate, true);
  head.setUint32(28, sampleRate * 2, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  write(36, "data");
  head.setUint32(40, bytes, true);
  return head.buffer;
}
