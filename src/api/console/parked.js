// Parked events: shown, taken up again, forgotten. What is done is rehearsed first, and asked.

import { act, ask } from "./ask.js";
import { ago, count, h, said, show, table } from "./draw.js";

const element = (id) => document.getElementById(id);
const [list, of, retry, drop] = ["parked-list", "parked-of", "retry", "drop"].map(element);
const [deed, title, text, steps, yes, no] = ["deed", "deed-title", "deed-text", "deed-list", "deed-yes", "deed-no"].map(element);
const chosen = new Set();
let [acts, items, isMore, changed, round] = [false, [], false, () => {}, 0];

/** What is done to events, and how it is said. */
const RETRY = {
  path: "parked/retry",
  title: (n) => `Retry ${n}`,
  text: "They are read again, as the manifest reads them now. What can be read is applied; what cannot stays parked.",
  foreseen: (told) => (told.still ? ["wrong", `would stay: ${told.still}`] : ["fine", "can be read now"]),
  done: (told) => (told.still ? ["wrong", `still parked: ${told.still}`] : ["fine", told.done.map((one) => one.outcome).join(", ") || "done"]),
};
const DROP = {
  path: "parked/drop",
  title: (n) => `Drop ${n}`,
  text: "They are forgotten for good. What they said is then known only by later events, or by the owner.",
  foreseen: () => ["look", "would be forgotten"],
  done: () => ["fine", "forgotten"],
};

/** Prepares the list: whether anything may be done, of which replicas, and whom to tell that it was. */
export function openParked(shape, whenChanged) {
  acts = shape.acts;
  changed = whenChanged;
  retry.hidden = drop.hidden = !acts;
  of.replaceChildren(h("option", { value: "" }, "all"), ...[...shape.replicas, ...shape.readModels].map((one) => h("option", {}, one.name)));
  of.addEventListener("change", loadParked);
  retry.addEventListener("click", () => begin(RETRY));
  drop.addEventListener("click", () => begin(DROP));
  list.addEventListener("change", ({ target }) => {
    const marked = target.name === "every" ? items.map((one) => one.id) : [target.value];
    marked.forEach((id) => (target.checked ? chosen.add(id) : chosen.delete(id)));
    marks();
  });
}

/** Looks what is parked now. */
export async function loadParked() {
  const told = await ask("parked", { replica: of.value, limit: 100 });
  [items, isMore] = [told.items, told.more];
  const there = new Set(items.map((one) => one.id));
  [...chosen].filter((id) => !there.has(id)).forEach((id) => chosen.delete(id));
  const columns = [["Parked", ""], ["Replica", ""], ["Entity", ""], ["Reason", ""], ["Detail", "long"], ["Event", ""], ["Id", ""]];
  const every = h("input", { type: "checkbox", name: "every", "aria-label": "all of them" });
  const shown = table(acts ? [[every, "mark"], ...columns] : columns, items.map(row), "Nothing is parked.");
  show(list, shown, isMore && h("p", { class: "empty" }, "There are more; these are the oldest."));
  marks();
}

function row(one) {
  const known = [one.type, one.version != null && `version ${one.version}`].filter(Boolean).join(", ");
  const cells = [
    ago(one.parkedAt), one.replica ?? "–", one.entity ? h("code", {}, one.entity) : "–", h("span", { class: "badge" }, one.reason),
    h("span", {}, said(one.detail)), known || "–",
    h("code", { class: "dim", title: `nearcopy parked show ${one.id}` }, one.id.slice(0, 8)),
  ];
  const mark = h("input", { type: "checkbox", value: one.id, "aria-label": `event ${one.id}` });
  return acts ? [mark, ...cells] : cells;
}

function marks() {
  for (const box of list.querySelectorAll("input[type=checkbox]")) {
    box.checked = box.name === "every" ? items.length > 0 && items.every((one) => chosen.has(one.id)) : chosen.has(box.value);
  }
  retry.disabled = drop.disabled = chosen.size === 0;
}

/** Says what would be done, and does it once that is confirmed. */
async function begin(kind) {
  const events = items.filter((one) => chosen.has(one.id));
  const many = events.length === 1 ? "1 event" : `${count(events.length)} events`;
  title.textContent = `${kind.title(many)}?`;
  text.textContent = kind.text;
  no.textContent = "Cancel";
  [yes.textContent, yes.className, yes.disabled, yes.hidden] = [kind.title(many), kind === DROP ? "danger" : "primary", true, false];
  const told = new Map();
  yes.onclick = async () => {
    yes.disabled = true;
    told.clear();
    draw(events, told);
    await each(events, told, (one) => act(kind.path, { id: one.id }), kind.done);
    [yes.hidden, no.textContent] = [true, "Close"];
    chosen.clear();
    await changed();
  };
  draw(events, told);
  deed.showModal();
  if (await each(events, told, (one) => act(kind.path, { id: one.id, dry_run: true }), kind.foreseen)) yes.disabled = false;
}

/** One after the other, as long as somebody looks. What is gone meanwhile went with one before. */
async function each(events, told, step, meaning) {
  const mine = ++round;
  for (const one of events) {
    if (!deed.open || mine !== round) return false;
    try {
      const answer = await step(one);
      told.set(one.id, meaning(answer));
      (answer.done ?? []).filter((other) => other.id !== one.id).forEach((other) => told.set(other.id, ["fine", other.outcome]));
    } catch (error) {
      if (error.status !== 404 || !told.has(one.id)) told.set(one.id, ["wrong", error.message]);
    }
    if (mine === round) draw(events, told);
  }
  return mine === round;
}

function draw(events, told) {
  show(steps, events.map((one) => {
    const [state, outcome] = told.get(one.id) ?? ["dim", "…"];
    const who = [one.replica, one.entity].filter(Boolean).join(" ") || one.source;
    return h("li", {}, h("b", {}, who), h("code", { class: "dim" }, one.id.slice(0, 8)), h("span", { class: state }, said(outcome)));
  }));
}
