// Asks now and then, and has all parts shown.

import { ask } from "./ask.js";
import { count, h, said, show } from "./draw.js";
import { drawBooks, drawFlow } from "./flow.js";
import { drawJobs } from "./jobs.js";
import { openLookup } from "./lookup.js";
import { note } from "./measure.js";
import { loadParked, openParked } from "./parked.js";
import { drawTopology } from "./topology.js";

const [SAMPLE, LOOK, PARKED] = [2_000, 5_000, 10_000];
const element = (id) => document.getElementById(id);
let [shape, status, heard] = [null, null, 0];

function draw() {
  if (!shape) return;
  drawTopology(element("picture"), shape, status);
  drawFlow(shape, status);
  drawBooks();
}

async function sample() {
  note(await ask("measured"));
  draw();
}

async function look() {
  const { health, look: seen } = await ask("state");
  status = seen?.status ?? status;
  const needs = status?.needs ?? [];
  const troubles = [...health.reasons.map((text) => ({ level: health.status === "degraded" ? "look" : "wrong", text })),
    ...(seen?.trouble ? [{ level: "wrong", text: seen.trouble }] : []), ...needs];
  verdict(troubles, Boolean(status));
  if (!status) return;
  show(element("pods"), h("b", {}, count(status.pods.length)), status.pods.length === 1 ? " pod" : " pods");
  element("pods").title = status.pods.map((pod) => `${pod.host} (${pod.version})`).join("\n");
  show(element("generation"), "generation ", h("b", {}, count(status.generation.manifest)));
  const parked = status.parkedOfNobody + [...status.replicas, ...status.readModels].reduce((n, of) => n + of.parked, 0);
  element("parked-count").hidden = parked === 0;
  element("parked-count").textContent = count(parked);
  drawJobs(shape, status);
  draw();
}

function verdict(troubles, isKnown) {
  const line = ({ level, text, command }) => h("p", { class: level },
    h("strong", {}, level === "wrong" ? "Wrong" : "Look"), h("span", {}, said(text)), command && h("code", {}, command));
  const well = isKnown ? h("p", { class: "fine" }, h("strong", {}, "All is well")) : h("p", { class: "dim" }, "Looking how everything stands…");
  show(element("verdict"), troubles.length > 0 ? troubles.map(line) : well);
}

/** Whether the sidecar still answers. */
function pulse(trouble) {
  if (!trouble) heard = Date.now();
  const late = Math.round((Date.now() - heard) / 1000);
  const text = !trouble ? "live" : heard ? `no answer for ${late} s` : trouble.message;
  element("pulse").className = `pulse ${trouble ? "wrong" : "fine"}`;
  if (element("pulse").textContent !== text) element("pulse").textContent = text;
}

/** Does something again and again, while somebody looks. */
async function repeat(every, step) {
  for (;;) {
    if (!document.hidden) {
      try {
        await step();
        pulse();
      } catch (error) {
        pulse(error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Until the sidecar has started, only that can be told. */
async function begin() {
  for (;;) {
    try {
      shape = await ask("topology");
      return;
    } catch (error) {
      pulse(error);
      await look().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

await begin();
document.title = `${shape.service} · nearcopy`;
element("service").textContent = shape.service;
element("version").textContent = shape.version;
openLookup(shape);
openParked(shape, async () => {
  await loadParked();
  await look();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, dialog")) return;
  event.preventDefault();
  element("question").elements.of.focus();
});
repeat(SAMPLE, sample);
repeat(LOOK, look);
repeat(PARKED, loadParked);
