import en from "./words/en.js";
import ko from "./words/ko.js";

const TABLES = { ko, en };

/** The words of the page in the chosen language. It sends `change` when the language changes. */
export class Words extends EventTarget {
  /** @param {string} language `ko` or `en` */
  constructor(language) {
    super();
    this.language = language;
  }

  /** @param {string} language `ko` or `en` */
  choose(language) {
    this.language = language;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * A sentence of the page.
   *
   * @param {string} key
   * @param {Record<string, string|number>} [values] what stands for `{name}` in it
   */
  say(key, values = {}) {
    const sentence = TABLES[this.language][key];
    if (sentence === undefined) throw new Error(`no word for ${key}`);
    return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  }

  /**
   * The word for a value of the data, or the value itself if the page has none.
   *
   * @param {string} group start of the key, such as `sentiment`
   * @param {string} value
   */
  name(group, value) {
    return TABLES[this.language][`${group}.${value}`] ?? value;
  }

  /**
   * A probability or share with one decimal, such as `71.3 %`. @param {number} share
   * @returns {string}
   */
  percent(share) {
    return `${(share * 100).toFixed(1)} %`;
  }

  /** A count with its thousands apart. @param {number} count */
  count(count) {
    return new Intl.NumberFormat(this.language).format(count);
  }

  /** Writes the words of all elements below a root that name one. @param {ParentNode} root */
  fill(root) {
    for (const item of root.querySelectorAll("[data-word]")) {
      item.textContent = this.say(item.getAttribute("data-word"));
    }
    for (const item of root.querySelectorAll("[data-word-label]")) {
      item.setAttribute("aria-label", this.say(item.getAttribute("data-word-label")));
    }
  }
}

/** The language of the browser, if the page has it. @param {readonly string[]} wanted */
export function preferredLanguage(wanted) {
  return wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in TABLES) ?? "en";
}
