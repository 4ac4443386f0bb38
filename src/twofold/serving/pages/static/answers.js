// An answer on the page: its text with numbered citations, its sources, and what was remarked of it.

/** An element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    // `form` of an element is read only: setting it would throw.
    if (key in made && key !== "form") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A message as nodes: its first word with a capital, what stands between backticks as code. */
export function prose(text) {
  const parts = text.replace(/^[a-z]+(?=[ ,])/, (word) => word[0].toUpperCase() + word.slice(1)).split(/`([^`\n]+)`/);
  const out = document.createDocumentFragment();
  // With a group every second part stood between backticks.
  parts.forEach((part, number) => out.append(number % 2 ? element("code", { textContent: part }) : part));
  return out;
}

const SPANS = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
const WORDS = new Intl.RelativeTimeFormat("en");

/** Seconds as "3 days ago"; empty where the age is unknown. */
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const span = SPANS.find(([size]) => seconds >= size);
  return span ? WORDS.format(-Math.floor(seconds / span[0]), span[1]) : "just now";
}

/** Where a citation is read in its document. */
export function address(citation) {
  const { document: name, start, end } = citation;
  return `/ask/source?${new URLSearchParams({ document: name, start, end })}`;
}

/** What one citation is called: "On parking, page 3". */
function name(citation) {
  return [citation.title || citation.document, citation.place].filter(Boolean).join(", ");
}

/** The link that stands for a citation. */
function link(citation, number) {
  return element("a", {
    className: "cite", href: address(citation), textContent: String(number), "data-quote": citation.quote,
    "data-name": name(citation), "aria-label": `Source ${number}: ${name(citation)}`,
  });
}

/** The text with every mark such as [1] in it turned into a link; marks of nothing stay text. */
export function withCitations(text, citations) {
  const byMark = new Map(citations.map((citation, index) => [citation.marker, [citation, index + 1]]));
  const out = document.createDocumentFragment();
  // The group keeps the marks among the parts. Only text nodes and links are made: nothing of an answer is HTML.
  for (const part of text.split(/(\s*\[\d+\])/)) {
    const known = byMark.get(part.trim());
    out.append(known ? link(...known) : part);
  }
  return out;
}

/** The list of sources under an answer. */
export function sources(citations) {
  if (!citations.length) return null;
  const rows = citations.map((citation, index) =>
    element("li", {},
      element("a", { className: "from", href: address(citation), "data-quote": citation.quote, "data-name": name(citation) },
        element("span", { className: "cite", textContent: String(index + 1) }),
        element("span", {}, element("bdi", { textContent: citation.title || citation.document }),
          element("span", { className: "soft", textContent: details(citation) })))),
  );
  return element("ol", { className: "sources", "aria-label": "Sources" }, ...rows);
}

function details(citation) {
  const age = citation.age === null ? "" : `changed ${ago(citation.age)}`;
  const version = citation.version && `version ${citation.version.slice(0, 7)}`;
  const parts = [citation.place, age, version].filter(Boolean);
  return parts.length ? ` ${parts.join(" · ")}` : "";
}

/** What must not be overlooked: nothing was found, another source was, parts are out of order, the index is later. */
export function remarks(reply) {
  const notes = [];
  for (const { part, since } of reply.degraded ?? []) {
    const moment = new Date(since);
    const when = Number.isNaN(moment.valueOf()) ? since : moment.toLocaleTimeString([], { timeStyle: "short" });
    notes.push(["warn", `The answer was written without ${part}, which is down since ${when}.`]);
  }
  // What reads no documents may well say that they do not tell.
  if (reply.abstained && reply.reads_documents === false) notes.push(["plain", "What answered reads no documents, and gave no answer."]);
  else if (reply.abstained) notes.push(["plain", "The documents do not answer this, as far as they were searched."]);
  else if (reply.cut) notes.push(["warn", "The answer reached its limit of length and ends early."]);
  else if (!reply.citations?.length && !reply.attached) notes.push(["plain", "This answer cites no source: check it."]);
  // The strip at the top says it of all answers.
  const strip = document.querySelector(".strip");
  if (reply.measured === false && !strip) notes.push(["plain", "No study has measured what answered this."]);
  if (reply.later_index && !strip) notes.push(["plain", "Documents changed since the study measured this."]);
  const lines = notes.map(([kind, text]) => element("p", { className: `remark ${kind}`, textContent: text }));
  if (reply.attached) {
    const { attached } = reply;
    const line = element("p", { className: "remark plain" }, "The answer cites nothing; its words stand in ",
      element("a", { className: "from", href: address(attached), "data-quote": attached.quote, "data-name": name(attached), textContent: name(attached) }), ".");
    lines.push(line);
  }
  return lines;
}
