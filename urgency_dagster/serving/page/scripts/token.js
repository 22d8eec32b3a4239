const KEY = "urgency.token";

/** The token of the server. The page asks for it when the server wants one, and keeps it as long as the tab. */
export class TokenKeeper {
  /** @type {Promise<boolean> | null} */
  #asking = null;

  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.field = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
  }

  /** @returns {Record<string, string>} */
  headers() {
    const token = sessionStorage.getItem(KEY);
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** The subprotocols of a WebSocket beside its own: a browser can send no header there, so the token is one. */
  protocols() {
    const token = sessionStorage.getItem(KEY);
    return token ? [`bearer.${base64url(token)}`] : [];
  }

  /** Asks for the token. Requests that fail at the same time ask once. @returns {Promise<boolean>} whether one came */
  ask() {
    this.#asking ??= this.#open().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  /** @returns {Promise<boolean>} */
  #open() {
    this.field.value = "";
    this.dialog.returnValue = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => resolve(this.#keep()), { once: true });
    });
  }

  #keep() {
    const sent = this.dialog.returnValue === "send" && this.field.value !== "";
    if (sent) sessionStorage.setItem(KEY, this.field.value);
    this.field.value = "";
    return sent;
  }
}

/** @param {string} text */
function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
