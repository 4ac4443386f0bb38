/** Labels with the keyboard: digits choose, letters give reasons, Enter stores, s passes over, u undoes. */
const form = document.getElementById("label");
const keys = document.getElementById("keys");
keys.checked = localStorage.getItem("label-keys") !== "off";
keys.addEventListener("change", () => localStorage.setItem("label-keys", keys.checked ? "on" : "off"));

function typing(target) {
  return target.matches("textarea, input:not([type=radio], [type=checkbox]), select");
}

document.addEventListener("keydown", (event) => {
  // The browser's own shortcuts stay; a key that is held down must not label one item after another.
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape" && typing(event.target)) return event.target.blur();
  if (!keys.checked || typing(event.target)) return;
  // On a link or button Enter does what it always does.
  if (event.key === "Enter" && !event.target.matches("a, button, summary")) {
    event.preventDefault();
    return form.requestSubmit();
  }
  // Escaped: a quotation mark is a key, too.
  const box = form.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (box) {
    event.preventDefault();
    return box.click();
  }
  const named = { s: "skip", u: "undo", n: "note" }[event.key];
  const target = named && document.getElementById(named);
  if (!target) return;
  event.preventDefault();
  if (named === "note") target.focus();
  else target.click();
});

// A second click or key must not store twice.
form.addEventListener("submit", () => { document.getElementById("store").disabled = true; });
// Going back shows the page as it was left, from the browser's memory: with the button disabled.
window.addEventListener("pageshow", () => { document.getElementById("store").disabled = false; });
