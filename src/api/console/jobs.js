// What takes a while, as far as the database tells how far it has come.

import { ago, brief, count, h, show } from "./draw.js";

const list = document.getElementById("tasks");

/** Shows what is under way, and who is at work on what. */
export function drawJobs(shape, status) {
  if (!status) return;
  const jobs = [
    ...status.positions.filter((of) => of.name.startsWith("fan-out:")).map(fanOut),
    ...status.replicas.flatMap((of) => ofReplica(of, shape)),
    ...status.readModels.flatMap(ofModel),
    ...(status.outbox.waiting > 0 ? [job("Messages of rules", `${count(status.outbox.waiting)} wait to be told`)] : []),
  ];
  show(list, jobs.length > 0 ? jobs : h("p", { class: "empty" }, "Nothing: all that was owed is done."), atWork(status));
}

function fanOut({ name, after, at }) {
  const [, replica, ...id] = name.split(":");
  const how = ["has come to ", h("code", {}, after ?? "the beginning"), ", ", ago(at)];
  return job(["Documents of ", h("a", { href: "#lookup", "data-of": replica, "data-id": id.join(":") }, `${replica} ${id.join(":")}`)], how);
}

function ofReplica(of, shape) {
  const declared = shape.replicas.find((one) => one.name === of.name);
  const left = of.outdated + of.lacking;
  const share = (n) => (of.records > 0 ? 1 - Math.min(1, n / of.records) : null);
  return [
    of.owing > 0 && job([h("b", {}, of.name), ": documents are brought in line"], `${count(of.owing)} changed records owe it`, share(of.owing)),
    left > 0 && job([h("b", {}, of.name), ": records follow the manifest"], `${count(left)} of ${count(of.records)} left`, share(left)),
    of.pending > 0 && job([h("b", {}, of.name), declared?.asks ? `: asked of ${declared.owner}` : ": wait for their events"],
      `${count(of.pending)} wanted and not known`, share(of.pending)),
  ].filter(Boolean);
}

function ofModel(of) {
  const sum = (places) => [places ?? []].flat().reduce((total, place) => total + (place ?? 0), 0);
  if (of.rebuiltTo == null) return of.frozen ? [job([h("b", {}, of.name), ": stands still"], "its documents are about to be replaced")] : [];
  const [to, whole] = [sum(of.rebuiltTo), sum(of.foldedTo)];
  return [job([h("b", {}, of.name), ": folded anew"], whole > 0 ? `${brief(to)} of ${brief(whole)} events` : "", whole > 0 ? to / whole : null)];
}

/** A job; where nobody can say how much is left, the bar only moves. */
function job(title, text, share) {
  const value = share == null ? null : Math.max(0, Math.min(1, share)).toFixed(4);
  return h("div", { class: "job" }, h("span", { class: "what" }, title), h("span", { class: "dim" }, text), h("progress", { value, max: 1 }));
}

function atWork(status) {
  const host = (id) => status.pods.find((pod) => pod.id === id)?.host ?? "a pod that is gone";
  const leases = status.leases.map((of) => h("li", {}, h("code", {}, of.name), h("span", { class: "dim" }, host(of.pod))));
  const positions = status.positions.filter((of) => !of.name.startsWith("fan-out:"));
  const places = positions.map((of) => h("li", {}, h("code", {}, of.name), h("span", { class: "dim" }, of.after ?? "", " ", ago(of.at))));
  return [
    h("details", {}, h("summary", {}, `${status.leases.length} pieces of work are taken`), h("ul", { class: "plain" }, leases)),
    places.length > 0 && h("details", {}, h("summary", {}, `${places.length} positions are noted`), h("ul", { class: "plain" }, places)),
  ];
}
