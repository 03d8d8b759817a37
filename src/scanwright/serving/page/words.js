// Everything the page says, in English and Chinese, and the switch between them.

import { CHINESE, REFUSALS } from "/page/chinese.js";
import { ENGLISH } from "/page/english.js";

const BOOKS = { en: ENGLISH, zh: CHINESE };
let language = remembered() || ((navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en");

function remembered() {
  try {
    const kept = localStorage.getItem("language");
    return kept in BOOKS ? kept : null;
  } catch {
    return null;
  }
}

export function current() {
  return language;
}

// The sentence of a key, with {names} filled in.
export function say(key, values = {}) {
  const sentence = BOOKS[language][key] ?? ENGLISH[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

// What a refusal of the service is about, in the reader's language; "" where its own words are in that language.
export function says(code) {
  return language === "zh" && code ? (REFUSALS[code] ?? REFUSALS.request) : "";
}

// A line that says that what follows is in English, where the page is not.
export function foreign(key) {
  if (language === "en") return null;
  const line = document.createElement("p");
  line.className = "hint";
  line.textContent = say(key);
  return line;
}

// Whether a key has words of its own.
export function known(key) {
  return key in ENGLISH;
}

// Put the words into everything below a node that asks for them.
export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of root.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  try {
    localStorage.setItem("language", language);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  translate();
}

// A probability as a person reads it; the spaces do not break.
export function percent(p) {
  if (p > 0.999 && p < 1) return ">\u202f99.9\u202f%";
  if (p < 0.001 && p > 0) return "<\u202f0.1\u202f%";
  return `${(100 * p).toFixed(1)}\u202f%`;
}
