// Why a value is there, or is not.

import { ask } from "./ask.js";
import { h, said, show } from "./draw.js";

const form = document.getElementById("question");
const accounts = document.getElementById("accounts");

/** Prepares the form; links of the page that name a replica or a collection lead to it. */
export function openLookup(shape) {
  const names = [...shape.replicas.map((of) => of.name), ...shape.readModels.map((of) => of.name), ...shape.embeds.map((of) => of.collection)];
  document.getElementById("names").replaceChildren(...[...new Set(names)].map((value) => h("option", { value })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
  document.addEventListener("click", ({ target }) => {
    const link = target.closest?.("[data-of]");
    if (!link) return;
    form.elements.of.value = link.dataset.of;
    form.elements.id.value = link.dataset.id ?? "";
    form.elements.path.value = "";
    if (link.dataset.id) explain();
    else setTimeout(() => form.elements.id.focus({ preventScroll: true }));
  });
}

async function explain() {
  const { of, id, path } = Object.fromEntries(new FormData(form));
  accounts.setAttribute("aria-busy", "true");
  try {
    const told = await ask("explain", { of: of.trim(), id: id.trim(), path: path.trim() });
    accounts.replaceChildren(...told.accounts.map(account));
  } catch (error) {
    accounts.replaceChildren(h("p", { class: "wrong" }, said(error.message)));
  } finally {
    accounts.removeAttribute("aria-busy");
  }
}

function account({ rows, why, value }) {
  const verdict = value.is ?? value.record?.state ?? (value.exists === false || value.record === null ? "not held" : null);
  return h("article", { class: "account" },
    verdict && h("span", { class: `badge ${verdict === "same" || verdict === "live" ? "fine" : ""}` }, verdict),
    h("dl", {}, rows.map(([name, text]) => [h("dt", {}, name), h("dd", {}, said(text))])),
    h("ul", { class: "why" }, why.map((text) => h("li", {}, said(text)))));
}
