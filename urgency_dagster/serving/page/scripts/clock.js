/** Time in a recording as minutes, seconds and tenths, such as `1:03.7`. @param {number} ms */
export function clock(ms) {
  const tenths = Math.round(ms / 100);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
