// One answer as a card: picture with heat map, the answer in words, bars, warnings, links.

import { amounts, lesions } from "/page/lesions.js";
import { make } from "/page/make.js";
import { viewer } from "/page/viewer.js";
import { foreign, percent, say, says } from "/page/words.js";

let serial = 0;

export function card(result, model, about) {
  const title = `case-${++serial}`;
  const { node, show } = viewer(result);
  return make(
    "article",
    { class: "case", "aria-labelledby": title },
    node,
    make(
      "div",
      { class: "words" },
      make("p", { class: "file", id: title, title: result.case }, result.case),
      make("p", { class: "label" }, make("span", { class: "hint" }, say("answer")), make("strong", {}, headline(result, about))),
      make("p", { class: "sentence" }, sentence(result, about)),
      bars(result, about),
      amounts(result),
      lesions(result, show),
      boxes(result),
      warnings(result),
      links(result, model),
    ),
  );
}

function headline(result, about) {
  if (result.task === "multilabel" && !result.label) return say("none");
  if (result.task === "segment") return found(result).join(" · ") || say("nothingFound");
  if (result.task === "regress") return about?.classes?.[0] ? `${about.classes[0]}: ${result.label}` : result.label;
  return result.label;
}

const found = (result) => Object.entries(result.amounts ?? {}).filter(([, v]) => v > 0).map(([name]) => name);

const cuts = (about) => about?.trust?.thresholds ?? [];

function sentence(result, about) {
  const p = result.probabilities;
  const names = Object.keys(p);
  if (result.task === "segment" || result.task === "detect") return "";
  if (result.task === "regress") return say("number", { name: about?.classes?.[0] ?? "" });
  if (result.task === "multilabel") return cuts(about).length ? say("each") : "";
  const own = percent(p[result.label] ?? 0);
  if (result.task === "binary" && cuts(about).length) {
    const positive = names[names.length - 1];
    const values = { positive, p: percent(p[positive]), t: percent(cuts(about)[0]) };
    return say(result.label === positive ? "above" : "below", values);
  }
  const most = names.reduce((a, b) => (p[b] > p[a] ? b : a), names[0]);
  if (most === result.label) return say("chosen", { p: own });
  return `${say("chosen", { p: own })} ${say("most", { n: names.length, name: most, p: percent(p[most]) })} ${say("ordinalNote")}`;
}

function bars(result, about) {
  const entries = Object.entries(result.probabilities);
  if (!entries.length) return null;
  const marks = result.task === "binary" ? [null, cuts(about)[0]] : result.task === "multilabel" ? cuts(about) : [];
  const rows = entries.map(([name, p], n) => ({ name, p, mark: marks[n] }));
  if (!["binary", "ordinal"].includes(result.task)) rows.sort((a, b) => b.p - a.p);
  const chosen = new Set(result.task === "multilabel" ? result.label.split(", ") : [result.label]);
  return make(
    "ul",
    { class: "bars", "aria-label": say("probabilities") },
    ...rows.map(({ name, p, mark }) => bar(name, p, mark, chosen.has(name))),
  );
}

function bar(name, p, mark, isAnswer) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * p}%`;
  const track = make("span", { class: "track", "aria-hidden": "true" }, fill);
  if (mark !== null && mark !== undefined) {
    const line = make("span", { class: "mark", title: say("threshold", { t: percent(mark) }) });
    line.style.left = `${100 * mark}%`;
    track.append(line);
  }
  return make("li", { class: isAnswer ? "is-answer" : "" }, make("span", { class: "name" }, name), track, make("span", { class: "p" }, percent(p)));
}

const MOST_BOXES = 40; // listed; the JSON has them all

function boxes(result) {
  if (!result.boxes?.length) return null;
  const rows = result.boxes.slice(0, MOST_BOXES).map((box) => {
    const centre = box.low.map((edge, axis) => ((edge + box.high[axis]) / 2).toFixed(0)).join(", ");
    return make("li", {}, make("span", { class: "name" }, box.class), make("span", { class: "p" }, box.score.toFixed(2)), make("span", { class: "hint" }, ` (${centre})`));
  });
  const more = result.boxes.length - rows.length;
  if (more > 0) rows.push(make("li", { class: "hint" }, `+ ${more}`));
  return make("ul", { class: "boxes", "aria-label": say("boxes") }, ...rows);
}

function warnings(result) {
  const own = (result.warnings ?? []).filter((w) => !w.startsWith("Research use")); // said in the reader's language below
  const note = make("p", { class: "hint" }, say("research"));
  if (!own.length) return note;
  return make("div", {}, make("div", { class: "warnings" }, make("h3", {}, say("notice")), foreign("noticeForeign"), make("ul", { lang: "en" }, ...own.map((w) => make("li", {}, w)))), note);
}

function links(result, model) {
  const json = URL.createObjectURL(new Blob([JSON.stringify({ model, ...result }, null, 2)], { type: "application/json" }));
  const row = make("p", { class: "links" }, make("a", { href: json, download: `${stem(result.case)}.json` }, say("json")));
  if (result.heatmap?.nifti) row.append(make("a", { href: result.heatmap.nifti, download: `${stem(result.case)}-heatmap.nii` }, say("nifti")));
  if (result.segmentation) row.append(make("a", { href: result.segmentation.url, download: `${stem(result.case)}-segmentation.nii.gz` }, say("labelMap")));
  row.append(make("span", { class: "hint" }, say("took", { s: result.seconds.toFixed(2), model: model.name, version: model.version })));
  return row;
}

const stem = (name) => name.split("/").pop().replace(/\.(dcm|nii|nii\.gz|png|jpe?g|tiff?|npy|nrrd|mha|zip)$/i, "") || "answer";

export function failures(list) {
  if (!list?.length) return null;
  return make(
    "article",
    { class: "case failures" },
    make("h3", {}, say("failed", { n: list.length })),
    reasons(list),
  );
}

// Each case that failed: in the reader's language by its code, and in the service's own words, without the name again.
export function reasons(list) {
  return make(
    "ul",
    {},
    ...list.map((f) => {
      const own = f.reason.startsWith(f.case) ? f.reason.slice(f.case.length).trim() : f.reason;
      const told = says(f.code);
      const words = told ? make("span", {}, told, original(own)) : make("span", {}, own);
      return make("li", {}, make("b", {}, f.case), f.reason.startsWith(f.case) && !told ? " " : " – ", words);
    }),
  );
}

// The service's own words, where the reader was told in another language.
export function original(text) {
  return make("span", { class: "original", lang: "en" }, `${say("original")}${text}`);
}
