const PREFIX = "urgency.";

/**
 * A choice of the reader, remembered in this browser. Without a storage it lasts as long as the page.
 *
 * @param {string} name
 */
export function remembered(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // The browser forbids storage: the choice holds for this page.
  }
}

/** The colour scheme that the page shows now. */
export function shownTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/**
 * Calls a function whenever the colours change, by the reader or by the system.
 *
 * @param {() => void} redraw
 */
export function onThemeChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

/**
 * A colour of the style sheet as a canvas needs it.
 *
 * @param {string} name such as `--high`
 */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}
