// Asks the sidecar. Where it wants a token, a person is asked for it, once.

const KEPT = "nearcopy.token";
const dialog = document.getElementById("key");
let asked = null;

/** What is there to be known, as JSON. */
export function ask(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const query = new URLSearchParams(given).toString();
  return send(`/console/api/${path}${query && `?${query}`}`, {});
}

/** Has something done. */
export function act(path, body) {
  const headers = { "content-type": "application/json", "x-nearcopy-console": "1" };
  return send(`/console/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

async function send(url, options) {
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(url, { ...options, headers, cache: "no-store", redirect: "error" });
    if (response.status === 401) {
      await (asked ??= another(token).finally(() => { asked = null; }));
      continue;
    }
    const told = await response.json().catch(() => ({}));
    if (response.ok) return told;
    throw Object.assign(new Error(told.detail ?? `the answer is ${response.status}`), { status: response.status });
  }
}

/** Asks for another token than this one. */
function another(known) {
  if (sessionStorage.getItem(KEPT) !== known) return Promise.resolve();
  const input = document.getElementById("key-token");
  document.getElementById("key-wrong").hidden = !known;
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (input.value) sessionStorage.setItem(KEPT, input.value.trim());
      input.value = "";
      resolve();
    }, { once: true });
  });
}
