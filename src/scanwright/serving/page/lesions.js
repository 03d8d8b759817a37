// Amounts and lesions of a segmentation, as tables.

import { make, swatch } from "/page/make.js";
import { percent, say } from "/page/words.js";

const UNITS = { mL: "mL", mm2: "mm²", pixels: "px" };
const few = (v) => (Number.isFinite(v) ? (Math.abs(v) >= 100 ? v.toFixed(0) : Math.abs(v) >= 10 ? v.toFixed(1) : v.toFixed(2)) : "–");
const colourOf = (result, name) => result.segmentation?.structures.find((s) => s.name === name)?.colour;

// How much there is of each structure.
export function amounts(result) {
  const rows = Object.entries(result.amounts ?? {});
  if (!rows.length) return null;
  const unit = UNITS[result.segmentation?.unit] ?? "";
  return make(
    "table",
    { class: "amounts" },
    make("caption", {}, say("amounts")),
    make(
      "tbody",
      {},
      ...rows.map(([name, v]) => make("tr", {}, make("th", { scope: "row" }, swatch(colourOf(result, name)), name), make("td", {}, `${few(v)} ${unit}`))),
    ),
  );
}

// One row a lesion; its slice is a button that moves the viewer there.
export function lesions(result, show) {
  if (!result.lesions) return null;
  if (!result.lesions.length) return make("p", {}, say("noLesions"));
  const flat = !(result.slices?.count > 1);
  const columns = ["no", ...(flat ? [] : ["slice"]), "structure", "size", "diameters", "mean", "side", "certainty"];
  const table = make(
    "table",
    { class: "lesions" },
    make("caption", {}, say("lesions", { n: result.lesions.length })),
    make("thead", {}, make("tr", {}, ...columns.map((c) => make("th", { scope: "col" }, say(c))))),
    make("tbody", {}, ...result.lesions.map((one) => row(result, one, flat, show))),
  );
  return make("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": say("lesions", { n: result.lesions.length }) }, table);
}

function row(result, one, flat, show) {
  const px = result.segmentation?.unit === "pixels";
  const cells = [
    make("span", {}, swatch(colourOf(result, one.structure)), one.structure),
    Number.isFinite(one.volume_ml) ? `${few(one.volume_ml)} mL` : Number.isFinite(one.area_mm2) ? `${few(one.area_mm2)} mm²` : `${one.n_voxels} px`,
    `${few(one.longest_mm)} × ${few(one.perpendicular_mm)} ${px ? "px" : "mm"}`,
    `${few(one.mean)}${one.unit && one.unit !== "1" ? ` ${one.unit}` : ""}`,
    one.side ? say(one.side) : "–",
    Number.isFinite(one.probability) ? percent(one.probability) : "–",
  ];
  if (!flat) {
    const go = make("button", { type: "button", class: "go", "aria-label": say("toSlice", { k: one.slice + 1, n: one.number }) }, String(one.slice + 1));
    go.addEventListener("click", () => show(one.slice));
    cells.unshift(go); // beside the number, where a narrow window still shows it
  }
  return make("tr", {}, make("th", { scope: "row" }, String(one.number)), ...cells.map((c) => make("td", {}, c)));
}
