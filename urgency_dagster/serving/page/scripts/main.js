import { Api, Problem } from "./api.js";
import { AttentionView } from "./attention_view.js";
import { CallView } from "./call_view.js";
import { ModelsView } from "./models_view.js";
import { onThemeChange, remember, remembered, shownTheme } from "./preferences.js";
import { ReportsView } from "./reports_view.js";
import { ServedModels } from "./served_models.js";
import { TokenKeeper } from "./token.js";
import { preferredLanguage, Words } from "./words.js";

const VIEWS = { call: CallView, attention: AttentionView, reports: ReportsView, models: ModelsView };

/**
 * What every view is given.
 *
 * @typedef {object} Context
 * @property {Api} api
 * @property {Words} words
 * @property {ServedModels} models
 */

/** Starts the page. */
function start() {
  const api = new Api(new TokenKeeper(/** @type {HTMLDialogElement} */ (byId("token"))));
  const words = new Words(remembered("language") ?? preferredLanguage(navigator.languages));
  const context = { api, words, models: new ServedModels(api) };
  const theme = remembered("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  const views = Object.fromEntries(Object.entries(VIEWS).map(([name, View]) => [name, new View(byId(`view-${name}`), context)]));
  const write = () => writeWords(words, context.models, views);
  words.addEventListener("change", write);
  addEventListener("hashchange", () => openView(views));
  connectSwitches(words);
  onThemeChange(() => writeTheme(words));
  write();
  openView(views);
  readModels(context).then(write);
}

/** Reads the models for thresholds and the footer. Without them, a view says why when it needs them. */
async function readModels({ models }) {
  try {
    await models.read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

/** @param {Words} words @param {ServedModels} models @param {Record<string, {render: () => void}>} views */
function writeWords(words, models, views) {
  document.documentElement.lang = words.language;
  document.title = words.say("title");
  Object.values(views).forEach((view) => view.render());
  words.fill(document);
  const other = words.language === "ko" ? "en" : "ko";
  byId("language").textContent = words.say("language.other");
  byId("language").lang = other;
  writeTheme(words);
  const urgency = models.description?.urgency;
  byId("footer-model").textContent = urgency ? words.say("footer.model", { sha256: urgency.sha256.slice(0, 12), data: urgency.data_sha256.slice(0, 12) }) : "";
}

/** @param {Words} words */
function writeTheme(words) {
  byId("theme").textContent = words.say(shownTheme() === "dark" ? "theme.to_light" : "theme.to_dark");
}

/** @param {Words} words */
function connectSwitches(words) {
  byId("language").addEventListener("click", () => {
    words.choose(words.language === "ko" ? "en" : "ko");
    remember("language", words.language);
  });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = shownTheme() === "dark" ? "light" : "dark";
    remember("theme", document.documentElement.dataset.theme);
  });
}

/** Shows the view that the address names. @param {Record<string, {open: () => void}>} views */
function openView(views) {
  const named = location.hash.slice(1);
  const chosen = named in views ? named : "call";
  for (const name of Object.keys(views)) {
    byId(`view-${name}`).hidden = name !== chosen;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  views[chosen].open();
}

/** @param {string} id @returns {HTMLElement} */
function byId(id) {
  return document.getElementById(id);
}

start();
