/** Adds, replaces and deletes documents by the API that programs use. */
import { element } from "./answers.js";
import { showFault } from "./site.js";
import { failureOf, lost } from "./stream.js";

async function send(method, address, body) {
  let reply;
  try {
    reply = await fetch(address, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  } catch (error) {
    throw lost(error);
  }
  if (!reply.ok) throw await failureOf(reply);
  return reply.json();
}

/** Why it is not stored, and where to go on: what was written is still in the form. */
function refused(title, failure, stored = "") {
  const aside = (href, textContent) => element("a", { className: "button", href, target: "_blank", textContent });
  if (failure.status === 401) showFault("You are signed out", "Sign in in the new window, then do it here once more.", aside("/login", "Sign in"));
  else if (stored) showFault(title, failure.message, aside(`/documents/edit?id=${encodeURIComponent(stored)}`, "Open it in a new window"));
  else showFault(title, failure.message);
}

const form = document.getElementById("document");
if (form) {
  const busy = document.getElementById("busy");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const body = { id: fields.get("id"), title: fields.get("title"), text: fields.get("text"), metadata: {} };
    for (const line of fields.get("metadata").split("\n")) {
      const [, key, value] = line.match(/^\s*([^:]+?)\s*:\s*(.*?)\s*$/) || [];
      if (key) body.metadata[key] = value;
      else if (line.trim()) return showFault("The metadata cannot be read", `Write one field a line, with a colon: ${line}`);
    }
    if (!body.text.trim()) return showFault("The document is not stored", "Its text is empty: nothing could be found in it. Write a text.");
    // The field is there under access control alone.
    if (fields.has("readers")) body.readers = fields.get("readers").split(",").map((one) => one.trim()).filter(Boolean);
    // Whoever changed it meanwhile is not overwritten: the server answers with a conflict.
    if (form.dataset.version) body.version = form.dataset.version;
    // Under access control the stored id begins with the readers; the API puts them there again.
    if (form.dataset.method === "PUT" && body.readers) body.id = body.id.slice(body.id.indexOf("/") + 1);
    const button = form.querySelector("button");
    button.disabled = true;
    busy.hidden = false;
    try {
      const row = await send(form.dataset.method, "/v1/documents", body);
      location.assign(`/documents/view?id=${encodeURIComponent(row.document)}&stored=1`);
    } catch (error) {
      // Under access control the stored id begins with the readers: the message has it whole.
      const [, stored = ""] = (error.code === "serving.conflict" && error.message.match(/'([^']+)'/)) || [];
      if (form.dataset.method === "POST" && stored) error.message = `A document with the id ${stored} was sent before. Choose another id, or replace that document.`;
      refused("The document is not stored", error, stored);
      button.disabled = false;
      busy.hidden = true;
    }
  });
}

const button = document.querySelector("[data-delete]");
if (button) {
  const sure = document.getElementById("sure");
  button.addEventListener("click", () => sure.showModal());
  sure.addEventListener("click", async (event) => {
    const answer = event.target.value;
    // A click beside the two buttons.
    if (!answer) return;
    sure.close();
    if (answer !== "yes") return;
    // Part by part: an id may hold slashes, which the route takes as they are.
    const name = button.dataset.delete.split("/").map(encodeURIComponent).join("/");
    try {
      await send("DELETE", `/v1/documents/${name}`);
      location.assign("/documents");
    } catch (error) {
      refused("The document is still there", error);
    }
  });
}
