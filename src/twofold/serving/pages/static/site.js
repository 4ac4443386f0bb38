// What every page needs: what came by htmx can fail too, and then says so.

const fault = document.getElementById("fault");

// On a phone the navigation is wider than the window.
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/** Show an error in words, above the content. */
export function showFault(title, text) {
  const box = document.createElement("div");
  box.className = "notice bad";
  const head = document.createElement("p");
  head.className = "title";
  head.textContent = title;
  const body = document.createElement("p");
  body.textContent = text;
  box.append(head, body);
  fault.replaceChildren(box);
  fault.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:beforeRequest", () => fault.replaceChildren());
document.addEventListener("htmx:sendError", () =>
  showFault("The server does not answer", "Check that `twofold serve` still runs, then try again."),
);
document.addEventListener("htmx:timeout", () => showFault("That took too long", "Try again in a moment."));

// Whoever signs out leaves no conversation behind.
document.querySelector(".session")?.addEventListener("submit", () => sessionStorage.clear());
