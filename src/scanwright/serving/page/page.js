// The page: what is dropped goes to the service, what it says is shown.

import { make } from "/page/make.js";
import { card, failures, original, reasons } from "/page/result.js";
import { chosen, dropped, obstacle, send } from "/page/upload.js";
import { current, known, say, says, switchLanguage, translate } from "/page/words.js";

const at = (id) => document.getElementById(id);
const details = new Map();
const shown = [];
let limits = {};
let running = null;

function dress() {
  translate();
  at("language").textContent = current() === "zh" ? "English" : "中文";
  at("language").lang = current() === "zh" ? "en" : "zh";
}

function progress(words, fraction) {
  at("progress").hidden = !words;
  at("progress-words").textContent = words;
  if (fraction === null) at("bar").removeAttribute("value");
  else at("bar").value = fraction;
}

let complaint = null;

function complain(error) {
  complaint = error;
  const box = at("error");
  box.replaceChildren();
  box.hidden = !error;
  if (!error) return;
  if (error.say) return box.append(make("p", {}, say(error.say, error.values) + (error.status ? ` (${error.status})` : "")));
  const told = says(error.code);
  const words = error.text ?? `${error.fact} ${error.rule} ${error.fix}`;
  if (told) box.append(make("p", {}, make("b", {}, told)), make("p", {}, original(words)));
  else if (error.text) box.append(make("p", {}, error.text));
  else box.append(make("p", {}, make("b", {}, error.fact)), make("p", {}, `${error.rule} ${error.fix}`));
  if (error.failures?.length > 1) box.append(reasons(error.failures));
}

async function ask(files) {
  if (running) return;
  complain(null);
  const wrong = obstacle(files, limits);
  if (wrong) return complain(wrong);
  const model = at("model").value;
  const onProgress = (f) =>
    f < 1 ? progress(say("sending", { n: files.length, percent: Math.round(100 * f) }), f) : progress(say("thinking", { n: files.length }), null);
  onProgress(0);
  running = send(files, { ...(model && { model }), heatmap: at("want-heatmap").checked, slices: true }, onProgress);
  document.body.classList.add("busy");
  try {
    const answer = await running.done;
    const about = await detail(answer.model.name);
    shown.unshift({ answer, about });
    draw();
    at("results").firstElementChild?.scrollIntoView({ behavior: "smooth", block: "nearest" });
  } catch (error) {
    complain(error.text || error.fact || error.say ? error : { say: "offline" });
  } finally {
    running = null;
    document.body.classList.remove("busy");
    progress("", null);
  }
}

function draw() {
  const cards = shown.flatMap(({ answer, about }) => [
    failures(answer.failures),
    ...answer.results.map((result) => card(result, answer.model, about)),
  ]);
  at("results").replaceChildren(...cards.filter(Boolean));
}

async function detail(name) {
  if (!details.has(name)) {
    const answer = await fetch(`/v1/models/${encodeURIComponent(name)}`);
    if (!answer.ok) return null;
    details.set(name, await answer.json());
  }
  return details.get(name);
}

async function describe() {
  const about = at("model").value && (await detail(at("model").value));
  at("about").hidden = !about;
  if (!about) return;
  at("about-title").textContent = `${about.name} ${about.version}`;
  at("about-facts").textContent = say("classes", { task: say(about.task), classes: about.classes.join(" · ") });
  at("card-link").href = about.card;
  figures(about.evaluation ?? {});
}

// The figures of the test part: {"test": {"auroc": {"value", "low", "high"}, …, "n_cases"}}.
function figures(evaluation) {
  const part = ["test", "external", "val"].find((p) => evaluation[p]);
  const table = at("figures");
  const rows = Object.entries(part ? evaluation[part] : {}).filter(([name, f]) => f && typeof f === "object" && known(name) && Number.isFinite(f.value));
  table.hidden = !rows.length;
  at("about-note").textContent = rows.length ? say("howto") : say("noFigures");
  if (!rows.length) return;
  table.caption.textContent = say("figures", { part: say(part), n: evaluation[part].n_cases ?? "?" });
  table.tHead.replaceChildren(make("tr", {}, ...["figure", "value", "interval"].map((k) => make("th", { scope: "col" }, say(k)))));
  const number = (v) => (Number.isFinite(v) ? v.toFixed(3) : "–");
  table.tBodies[0].replaceChildren(
    ...rows.map(([name, f]) =>
      make("tr", {}, make("th", { scope: "row" }, say(name)), make("td", {}, number(f.value)), make("td", {}, `${number(f.low)} – ${number(f.high)}`)),
    ),
  );
}

async function begin() {
  try {
    const said = await (await fetch("/v1/models")).json();
    limits = said.limits;
    at("model").replaceChildren(...said.models.map((m) => make("option", { value: m.name }, m.name)));
    at("model-choice").hidden = said.models.length < 2;
    const broken = said.models.find((m) => m.fault);
    if (broken) complain({ text: broken.fault, code: "model" });
    await describe();
  } catch {
    complain({ say: "offline" });
  }
}

at("language").addEventListener("click", () => {
  switchLanguage();
  dress();
  complain(complaint);
  draw();
  describe();
});
at("choose").addEventListener("click", () => at("files").click());
at("choose-folder").addEventListener("click", () => at("folder").click());
at("stop").addEventListener("click", () => running?.stop());
at("model").addEventListener("change", describe);
for (const id of ["files", "folder"]) {
  at(id).addEventListener("change", () => {
    const files = chosen(at(id));
    at(id).value = "";
    if (files.length) ask(files);
  });
}

let depth = 0;
const carriesFiles = (e) => [...(e.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (e) => carriesFiles(e) && (depth++, document.body.classList.add("over")));
addEventListener("dragleave", (e) => carriesFiles(e) && --depth <= 0 && ((depth = 0), document.body.classList.remove("over")));
addEventListener("dragover", (e) => e.preventDefault());
addEventListener("drop", async (e) => {
  e.preventDefault();
  depth = 0;
  document.body.classList.remove("over");
  if (carriesFiles(e)) ask(await dropped(e.dataTransfer));
});

dress();
begin();
