/**
 * Makes the rows of a table body one stop of the keyboard: arrow keys, Home and End move, Enter and Space choose.
 *
 * @param {HTMLTableSectionElement} body
 * @param {{moved?: (place: number) => void, chosen: (place: number) => void}} actions
 */
export function focusRows(body, { moved = () => {}, chosen }) {
  body.addEventListener("keydown", (event) => {
    const rows = [...body.rows];
    const place = rows.indexOf(/** @type {HTMLTableRowElement} */ (document.activeElement));
    if (place < 0) return;
    const target = targetOf(event.key, place, rows.length - 1);
    if (target === null) return;
    event.preventDefault();
    if (target === place && (event.key === "Enter" || event.key === " ")) chosen(place);
    else {
      selectRow(body, target);
      body.rows[target].focus();
      moved(target);
    }
  });
  body.addEventListener("click", (event) => {
    const row = /** @type {Element} */ (event.target).closest("tr");
    if (!row) return;
    const place = [...body.rows].indexOf(row);
    selectRow(body, place);
    chosen(place);
  });
}

/** Marks one row, and makes it the stop of the keyboard. @param {HTMLTableSectionElement} body @param {number} place */
export function selectRow(body, place) {
  [...body.rows].forEach((row, number) => {
    row.setAttribute("aria-selected", String(number === place));
    row.tabIndex = number === place ? 0 : -1;
  });
}

/** @param {string} key @param {number} place @param {number} last */
function targetOf(key, place, last) {
  switch (key) {
    case "ArrowDown": return Math.min(place + 1, last);
    case "ArrowUp": return Math.max(place - 1, 0);
    case "Home": return 0;
    case "End": return last;
    case "Enter":
    case " ": return place;
    default: return null;
  }
}
