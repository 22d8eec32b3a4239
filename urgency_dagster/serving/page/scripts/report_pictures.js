import { element } from "./element.js";

/**
 * The pictures of a report. They are fetched, because an image cannot send the token.
 *
 * @param {import("./main.js").Context} context
 * @param {string} report
 * @param {string[]} names
 * @returns {Promise<() => HTMLElement>} what shows them in the language of now
 */
export async function readPictures({ api, words }, report, names) {
  const addresses = await Promise.all(names.map((name) => api.picture(report, name)));
  return () => element("section", { class: "panel" },
    element("div", { class: "panel-head" }, element("h2", {}, words.say("reports.pictures"))),
    element("div", { class: "pictures" }, ...names.map((name, place) => picture(words, name, addresses[place]))));
}

/** @param {import("./words.js").Words} words @param {string} name @param {string} address */
function picture(words, name, address) {
  const caption = words.name("picture", name.replace(/\.png$/, ""));
  return element("figure", {}, element("img", { src: address, alt: caption }), element("figcaption", {}, caption));
}

/** A report in its own words, folded. @param {string} title @param {HTMLElement} text */
export function foldedReport(title, text) {
  return element("section", { class: "panel" }, element("details", {}, element("summary", {}, title), text));
}
