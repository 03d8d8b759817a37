// What was looked at: the picture, or slices to leaf through, with the heat map or the structures over it.

import { make, swatch } from "/page/make.js";
import { say } from "/page/words.js";

const KEPT = 48; // slices that stay at hand
const states = new WeakMap();

// What a reader has set for an answer; it outlives a change of language.
function stateOf(result) {
  if (!states.has(result)) {
    const layered = result.slices?.layer === "labels" || result.heatmap_faithful !== false;
    states.set(result, { k: result.slices?.start ?? 0, on: layered, opacity: 100, urls: new Map() });
  }
  return states.get(result);
}

// The figure of an answer: { node, show(k) }; show moves to a slice.
export function viewer(result) {
  const state = stateOf(result);
  if (result.slices) return leafed(result, state);
  if (!result.picture) return { node: make("div", { class: "figure" }), show() {} };
  const stack = make("div", { class: "stack" }, make("img", { src: result.picture, alt: say("picture", { name: result.case }) }));
  const node = make("figure", { class: "figure" }, stack);
  if (result.heatmap) {
    stack.append(make("img", { class: "heat", src: result.heatmap.url, alt: say("heatPicture") }));
    node.append(make("figcaption", {}, ...controls(result, state, stack)));
  } else node.append(make("figcaption", { class: "hint" }, say("noHeat")));
  return { node, show() {} };
}

function leafed(result, state) {
  const { slices } = result;
  const stack = make("div", { class: "stack slices" });
  stack.style.aspectRatio = String(slices.aspect);
  const note = make("p", { class: "hint bad", role: "status", hidden: true });
  const number = make("output", {}, "");
  const slider = make("input", { type: "range", class: "slice", min: 1, max: slices.count, step: 1, value: state.k + 1, "aria-label": say("slice") });
  const words = () => say("sliceOf", { k: state.k + 1, n: slices.count });
  let busy = false;
  let drawn = -1;

  // One slice at a time, always the newest wanted; those in between are left out.
  async function draw() {
    number.textContent = words();
    slider.setAttribute("aria-valuetext", words());
    if (busy) return;
    busy = true;
    while (drawn !== state.k) {
      const k = state.k;
      drawn = k;
      try {
        const images = await Promise.all((slices.layer ? [false, true] : [false]).map((over) => image(result, state, k, over)));
        note.hidden = true;
        stack.replaceChildren(...images);
        stack.dataset.slice = k;
        fade(state, stack);
      } catch (error) {
        note.textContent = say(error?.status === 404 ? "expired" : "offline");
        note.hidden = false;
      }
    }
    busy = false;
    for (const k of [state.k + 1, state.k - 1]) if (k >= 0 && k < slices.count) address(result, state, k, Boolean(slices.layer)).catch(() => {});
  }

  function show(k) {
    state.k = Math.min(Math.max(k, 0), slices.count - 1);
    slider.value = state.k + 1;
    draw();
  }

  slider.addEventListener("input", () => show(Number(slider.value) - 1));
  const caption = make("figcaption", {});
  if (slices.count > 1) caption.append(make("label", { class: "slicer" }, slider, number));
  if (slices.layer) caption.append(...controls(result, state, stack));
  else caption.append(make("p", { class: "hint" }, say("noHeat")));
  draw();
  return { node: make("figure", { class: "figure" }, stack, note, caption), show };
}

async function image(result, state, k, over) {
  const alt = over ? say(result.slices.layer === "labels" ? "structuresPicture" : "heatPicture") : say("picture", { name: result.case });
  const node = make("img", { class: over ? "heat" : "", alt, src: await address(result, state, k, over) });
  await node.decode();
  return node;
}

// Where a slice is at hand, fetched if need be; the oldest make room.
async function address(result, state, k, over) {
  const key = `${k} ${over}`;
  if (!state.urls.has(key)) {
    state.urls.set(key, fetched(`${result.slices.url}${k}.png${over ? "?overlay=1" : ""}`));
    state.urls.get(key).catch(() => state.urls.delete(key));
    while (state.urls.size > KEPT * 2) {
      const [oldest, url] = state.urls.entries().next().value;
      state.urls.delete(oldest);
      url.then((u) => URL.revokeObjectURL(u), () => {});
    }
  }
  return state.urls.get(key);
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw answer;
  return URL.createObjectURL(await answer.blob());
}

function fade(state, stack) {
  const heat = stack.querySelector(".heat");
  if (!heat) return;
  heat.style.opacity = state.on ? state.opacity / 100 : 0;
  heat.ariaHidden = String(!state.on);
}

// Switch and opacity of what lies over the picture, and what it is worth.
function controls(result, state, stack) {
  const labels = result.slices?.layer === "labels";
  const toggle = make("input", { type: "checkbox", checked: state.on });
  const slider = make("input", { type: "range", min: 0, max: 100, value: state.opacity, disabled: !state.on, "aria-label": say("opacity") });
  const apply = () => {
    state.on = toggle.checked;
    state.opacity = Number(slider.value);
    slider.disabled = !state.on;
    fade(state, stack);
  };
  toggle.addEventListener("change", apply);
  slider.addEventListener("input", apply);
  fade(state, stack);
  const heat = result.boxes ? say("boxes") : result.heatmap_class ? say("heatFor", { name: result.heatmap_class }) : say("heat");
  return [
    make("label", { class: "toggle" }, toggle, make("span", {}, labels ? say("structures") : heat)),
    make("label", { class: "opacity" }, make("span", {}, say("opacity")), slider),
    labels ? legend(result.segmentation.structures) : result.boxes ? null : verdict(result),
  ];
}

function verdict(result) {
  const words = result.heatmap_faithful === true ? "faithful" : result.heatmap_faithful === false ? "unfaithful" : "unexamined";
  return make("p", { class: words === "unfaithful" ? "hint bad" : "hint" }, say(words));
}

function legend(structures) {
  return make("ul", { class: "legend" }, ...structures.map((s) => make("li", {}, swatch(s.colour), make("span", {}, s.name))));
}
