/** Adds, replaces and deletes documents by the API that programs use. */
import { showFault } from "./site.js";

async function send(method, address, body) {
  const reply = await fetch(address, {
    method,
    headers: { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error.message);
  return answer;
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
      location.assign(`/documents/view?id=${encodeURIComponent(row.document)}`);
    } catch (error) {
      showFault("The document is not stored", error.message);
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
      showFault("The document is still there", error.message);
    }
  });
}
