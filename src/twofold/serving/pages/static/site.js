// What every page needs: what came by htmx can fail too, and then says so.

import { element, prose } from "./answers.js";

const fault = document.getElementById("fault");

// On a phone the navigation is wider than the window.
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/** Show an error in words, above the content; `more` are links and buttons below them. */
export function showFault(title, text, ...more) {
  const words = [element("p", { className: "title", textContent: title }), element("p", {}, prose(text))];
  fault.replaceChildren(element("div", { className: "notice bad" }, ...words, more.length ? element("p", { className: "row" }, ...more) : null));
  // All the way up: the frame covers the upper edge of the window.
  window.scrollTo({ top: 0 });
}

document.addEventListener("htmx:beforeRequest", () => fault.replaceChildren());
document.addEventListener("htmx:sendError", () =>
  showFault("The server does not answer", "Check that `twofold serve` still runs, then try again."),
);
document.addEventListener("htmx:timeout", () => showFault("That took too long", "Try again in a moment."));

// Whoever signs out leaves no conversation behind.
document.querySelector(".session")?.addEventListener("submit", () => sessionStorage.clear());
