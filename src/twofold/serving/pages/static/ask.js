// The page Ask: a conversation whose answers come word by word, with their sources beside them.

import { element, prose, remarks, sources, withCitations } from "./answers.js";
import { Failure, asked, failureOf, lasting, lost } from "./stream.js";

const STORE = "twofold-conversation";
const find = (id) => document.getElementById(id);
const form = find("composer"), question = find("question"), list = find("turns"), stop = find("stop"), send = find("send");
const desk = find("desk"), beside = find("beside"), peek = find("peek"), anew = find("anew"), welcome = find("welcome");
const first = find("first"), second = find("second"), blind = find("blind");

/** Each: the question, its replies, and which of them the conversation goes on with. */
let turns = [];
// Browsers offer randomUUID only to pages by HTTPS or of this machine.
let conversation = crypto.randomUUID?.() ?? String(Math.random());
let running = null;
let opener = null;
/** Names of what reads no documents. */
let unread = new Set();

// ------------------------------------------------------------ what answers

async function loadModels() {
  const reply = await fetch("/v1/models").catch((error) => { throw lost(error); });
  if (!reply.ok) throw await failureOf(reply);
  find("no-models")?.remove();
  const models = (await reply.json()).data;
  const names = models.map((model) => model.id);
  unread = new Set(models.filter((model) => !model.reads_documents).map((model) => model.id));
  for (const [select, head] of [[first, []], [second, [element("option", { value: "", textContent: "nothing else" })]]]) {
    const before = select.value;
    select.replaceChildren(...head, ...names.map((name) => element("option", { value: name, textContent: name })));
    if (names.includes(before)) select.value = before;
  }
  find("pairing").hidden = names.length < 2;
  apart();
  return names;
}

/** Nobody learns from the same answer twice: beside an arm only others can be chosen. */
function apart() {
  if (second.value === first.value) second.value = "";
  for (const option of second.options) option.hidden = option.disabled = option.value !== "" && option.value === first.value;
  find("tick").hidden = !second.value;
}

first.addEventListener("change", apart);
second.addEventListener("change", apart);

// ------------------------------------------------------------ asking

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text && !running) ask(text);
});

question.addEventListener("keydown", (event) => {
  // While composing (Japanese, Chinese) Enter chooses a word.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
question.addEventListener("input", grow);

function grow() {
  // First: a scroll height never falls below the height that is set.
  question.style.height = "auto";
  question.style.height = `${Math.min(question.scrollHeight + 2, innerHeight / 3)}px`;
}

stop.addEventListener("click", () => running?.abort());
anew.addEventListener("click", begin);

function begin() {
  running?.abort();
  turns = [];
  conversation = crypto.randomUUID?.() ?? String(Math.random());
  list.replaceChildren();
  close();
  save();
  question.focus();
}

/** The messages of the conversation before a turn, and that turn's question. */
function messagesFor(turn) {
  const messages = [];
  for (const one of turns.slice(0, turns.indexOf(turn))) {
    const reply = one.replies[one.chosen];
    // Without marks: they number the passages of that answer alone. An answer that broke off is no part of it.
    if (reply?.text && !reply.failure) messages.push({ role: "user", content: one.question }, { role: "assistant", content: reply.plain });
  }
  return [...messages, { role: "user", content: turn.question }];
}

async function ask(text) {
  question.value = "";
  grow();
  const names = second.value ? [first.value, second.value] : [first.value];
  const hidden = names.length === 2 && blind.checked;
  // By chance: in a fixed order people would soon know whose answer is which.
  if (hidden && crypto.getRandomValues(new Uint8Array(1))[0] % 2) names.reverse();
  const turn = { question: text, hidden, chosen: 0, voted: !hidden, replies: names.map((model) => ({ model })) };
  turns.push(turn);
  await answer(turn);
}

async function answer(turn) {
  running = new AbortController();
  busy(true);
  const place = show(turn);
  place.scrollIntoView({ block: "start", behavior: "smooth" });
  await Promise.all(turn.replies.map((reply, number) => fill(turn, reply, place.querySelectorAll(".answer")[number])));
  running = null;
  busy(false);
  place.replaceWith(show(turn, false));
  save();
}

/** Let one reply of a turn come, and show it while it does. */
async function fill(turn, reply, place) {
  const said = place.querySelector(".said");
  Object.assign(reply, { text: "", failure: null });
  try {
    // The first question of a page may come before the models did.
    reply.model ||= (await loadModels())[0];
    for await (const event of asked(reply.model, messagesFor(turn), running.signal)) {
      if (event.piece) {
        reply.text += event.piece;
        // Hidden answers come together: who begins first, and how fast, would tell which is which.
        if (turn.voted) {
          place.classList.remove("waiting");
          said.append(event.piece);
        }
      } else Object.assign(reply, event.reply, { model: reply.model });
    }
    reply.plain = reply.citations.reduce((text, one) => text.replaceAll(` ${one.marker}`, ""), reply.text);
  } catch (error) {
    if (error.name === "AbortError") Object.assign(reply, { stopped: true, plain: reply.text, citations: [] });
    else {
      if (!(error instanceof Failure)) console.error(error);
      const { title = "Something went wrong on this page", text = String(error), code = "", status = 0, wait = 0 } = error;
      reply.failure = { title, text, code, status, until: Date.now() + wait * 1000 };
      // After a new verdict the arm of this page may be served no longer.
      if (status === 404) loadModels().then((names) => { reply.model = names[0]; save(); }).catch(() => {});
    }
  }
}

function busy(now) {
  send.hidden = now;
  stop.hidden = !now;
  list.setAttribute("aria-busy", String(now));
  if (!now) question.focus({ preventScroll: true });
}

// ------------------------------------------------------------ showing

/** The turn on the page, in place of what is there of it. */
function show(turn, append = true) {
  const answers = turn.replies.map((reply, number) => showReply(turn, reply, number));
  const place = element("article", { className: "turn" },
    element("h2", { className: "asked", dir: "auto", textContent: turn.question }),
    element("div", { className: answers.length > 1 ? "answers two" : "answers" }, ...answers),
    answers.length > 1 && !running ? choice(turn) : null);
  if (append) list.append(place);
  welcome.hidden = turns.length > 0;
  anew.hidden = turns.length === 0;
  return place;
}

function showReply(turn, reply, number) {
  const coming = running !== null && reply.text === undefined || (running && turns.at(-1) === turn && !reply.citations && !reply.failure);
  const label = turn.voted ? reply.model : `Answer ${"AB"[number]}`;
  const said = element("div", { className: "said", dir: "auto" });
  const place = element("div", { className: coming ? "answer waiting" : "answer" },
    turn.replies.length > 1 ? element("h3", { className: "who", textContent: label }) : null, said);
  if (coming) {
    // The same words for both hidden answers, for which of them reads documents would tell which is which.
    const words = turn.voted ? (unread.has(reply.model) ? "Answering" : "Reading the documents") : "Answering: both answers appear together";
    place.append(element("p", { className: "loading", textContent: words }));
    return place;
  }
  if (reply.failure) {
    // What came before it broke off may be all that somebody needed.
    if (reply.text) said.append(reply.text);
    place.append(failed(turn, reply));
    return place;
  }
  said.append(withCitations(reply.text, reply.citations ?? []));
  if (reply.stopped) place.append(element("p", { className: "remark plain", textContent: "You stopped this answer." }));
  // A remark on what answered, such as one of two being measured, waits until somebody has chosen.
  else place.append(...[...(turn.voted || !complete(turn) ? remarks(reply) : []), sources(reply.citations)].filter(Boolean));
  if (reply.text) place.append(actions(turn, reply));
  return place;
}

function failed(turn, reply) {
  const { failure } = reply;
  const again = element("button", { type: "button", textContent: "Ask again" });
  again.addEventListener("click", () => { if (!running) repeat(turn); });
  const wait = () => {
    const left = Math.ceil((failure.until - Date.now()) / 1000);
    again.disabled = left > 0;
    again.textContent = left > 0 ? `Ask again in ${lasting(left)}` : "Ask again";
    if (left > 0) setTimeout(wait, 1000);
  };
  wait();
  const buttons = element("p", { className: "row" }, again);
  if (failure.code === "serving.too-long" && turns.length > 1) {
    const fresh = element("button", { type: "button", className: "primary", textContent: "Ask it in a new conversation" });
    fresh.addEventListener("click", () => { begin(); ask(turn.question); });
    buttons.prepend(fresh);
  }
  if (failure.status === 401) buttons.replaceChildren(element("a", { className: "button primary", href: "/login?next=/ask", textContent: "Sign in" }));
  return element("div", { className: "notice bad", role: "alert" },
    element("p", { className: "title", textContent: failure.title }), element("p", {}, prose(failure.text)), buttons);
}

async function repeat(turn) {
  const place = list.children[turns.indexOf(turn)];
  place.remove();
  turns = [...turns.filter((one) => one !== turn), turn];
  turn.replies = turn.replies.map(({ model }) => ({ model }));
  await answer(turn);
}

// ------------------------------------------------------------ what people say of an answer

function actions(turn, reply) {
  const note = element("span", { className: "soft small", role: "status" });
  const row = element("p", { className: "actions" });
  const button = (text, title, act) => {
    const one = element("button", { type: "button", className: "quiet", title, textContent: text });
    one.addEventListener("click", () => act(one));
    row.append(one);
    return one;
  };
  if (!reply.stopped) {
    for (const [rating, text, title] of [["up", "Helpful", "This answer helped"], ["down", "Not helpful", "This answer is wrong or incomplete"]]) {
      const one = button(text, title, () => rate(rating));
      one.dataset.rating = rating;
      one.setAttribute("aria-pressed", String(reply.rating === rating));
    }
    button("Correct it", "Write the answer that it should have been", () => correct());
  }
  if (navigator.clipboard) button("Copy", "Copy the answer", async () => {
    await navigator.clipboard.writeText(reply.text);
    note.textContent = "Copied.";
  });
  row.append(note);
  const place = element("div", {}, row);

  async function rate(rating) {
    if (!(await feedback(turn, reply, { rating }, note))) return;
    reply.rating = rating;
    for (const one of row.querySelectorAll("[data-rating]")) one.setAttribute("aria-pressed", String(one.dataset.rating === rating));
    note.textContent = rating === "up" ? "Thank you." : "Thank you. A correction helps even more.";
    save();
  }

  function correct() {
    if (place.querySelector("form")) return;
    const field = element("textarea", { rows: 3, required: true, maxLength: 20000, id: crypto.randomUUID?.() ?? "correction", dir: "auto", value: reply.correction ?? reply.plain });
    const box = element("form", { className: "correction" },
      element("label", { htmlFor: field.id, textContent: "The answer it should have been" }), field,
      element("p", { className: "row" }, element("button", { className: "primary", textContent: "Save the correction" }),
        Object.assign(element("button", { type: "button", className: "quiet", textContent: "Cancel" }), { onclick: () => box.remove() })));
    box.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!(await feedback(turn, reply, { rating: "down", correction: field.value.trim() }, note))) return;
      reply.correction = field.value.trim();
      box.remove();
      note.replaceChildren("Thank you. ", ...whatFollows());
      save();
    });
    place.append(box);
    field.focus();
  }
  return place;
}

/** What becomes of a correction: whoever may curate makes an example of it at once. */
function whatFollows() {
  if (document.querySelector(".pages a[href='/examples']")) return ["Make an example of it under ", element("a", { href: "/examples/feedback", textContent: "Examples, Corrections" }), "."];
  return ["Whoever keeps the examples sees your correction."];
}

async function feedback(turn, reply, words, note) {
  const hits = (reply.citations ?? []).map(({ document: name, start, end, quote, title }) => ({ document: name, start, end, quote, title }));
  const sent = await post("/v1/feedback", { messages: messagesFor(turn), answer: reply.plain, hits, conversation, ...words });
  if (sent) note.replaceChildren("Not stored: ", prose(sent.text));
  return !sent;
}

/** Send JSON; returns the failure, or null. */
async function post(address, body) {
  try {
    const reply = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return reply.ok ? null : await failureOf(reply);
  } catch (error) {
    return lost(error);
  }
}

const CHOICES = [["first", "A is better"], ["second", "B is better"], ["same", "Both are as good"], ["neither", "Neither is right"]];

/** Did all answers of a turn come, whole? Only then can one be preferred. */
function complete(turn) {
  return turn.replies.every((reply) => reply.text && !reply.failure && !reply.stopped);
}

/** Which of two answers is better: asked before anybody knows whose they are; else which the conversation goes on with. */
function choice(turn) {
  if (!complete(turn)) return null;
  const note = element("span", { className: "soft small", role: "status" });
  const row = element("p", { className: turn.voted ? "choice row" : "choice row asking" });
  if (!turn.voted) {
    row.append(element("span", { textContent: "Which is better?" }));
    for (const [value, text] of CHOICES) {
      const one = element("button", { type: "button", textContent: text });
      one.addEventListener("click", async () => {
        const answers = turn.replies.map((reply) => ({ arm: reply.model, text: reply.text }));
        const failure = await post("/ask/preference", { question: turn.question, answers, choice: value });
        if (failure) { note.replaceChildren("Not stored: ", prose(failure.text)); return; }
        Object.assign(turn, { voted: true, vote: value, chosen: value === "second" ? 1 : 0 });
        row.closest(".turn").replaceWith(show(turn, false));
        save();
      });
      row.append(one);
    }
  } else {
    if (turn.vote) row.append(element("span", { className: "badge good", textContent: "Stored" }));
    row.append(element("span", { textContent: "The conversation goes on with" }));
    turn.replies.forEach((reply, number) => {
      const one = element("button", { type: "button", className: "quiet", textContent: reply.model, "aria-pressed": String(number === turn.chosen) });
      one.addEventListener("click", () => {
        turn.chosen = number;
        row.closest(".turn").replaceWith(show(turn, false));
        save();
      });
      row.append(one);
    });
  }
  row.append(note);
  return row;
}

// ------------------------------------------------------------ sources

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-quote]");
  // With these keys the browser opens the source in a tab of its own.
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    open(link);
  } else if (event.target.closest("[data-close]")) close();
});

async function open(link) {
  hide();
  opener = link;
  for (const one of document.querySelectorAll("a[data-quote][aria-current]")) one.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  beside.hidden = false;
  desk.classList.add("open");
  covered(matchMedia("(max-width: 900px)").matches);
  beside.replaceChildren(element("p", { className: "loading", textContent: "Opening the document" }));
  try {
    const reply = await fetch(link.href, { headers: { "hx-request": "true", accept: "text/html" } });
    const text = await reply.text();
    // Another one was opened meanwhile.
    if (link !== opener) return;
    beside.innerHTML = text; // rendered and escaped by the server
    if (!reply.ok) beside.append(element("button", { type: "button", textContent: "Close", "data-close": "" }));
  } catch {
    beside.replaceChildren(element("div", { className: "notice bad" }, element("p", { textContent: "The server does not answer. Check the connection, then click again." })), element("button", { type: "button", textContent: "Close", "data-close": "" }));
  }
  beside.querySelector("#source-title")?.focus({ preventScroll: true });
  beside.querySelector("mark")?.scrollIntoView({ block: "center" });
}

function close() {
  beside.hidden = true;
  desk.classList.remove("open");
  covered(false);
  opener?.removeAttribute("aria-current");
  if (opener?.isConnected) opener.focus({ preventScroll: true });
  opener = null;
  hide();
}

/** On a phone the document covers all else: nothing below it can be reached. */
function covered(yes) {
  for (const part of document.querySelectorAll(".bar, .strip, .talk")) part.inert = yes;
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!peek.hidden) hide();
  else if (!beside.hidden) close();
  else running?.abort();
});

for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, (event) => {
  const link = event.target.closest?.("a[data-quote]");
  if (link) hint(link);
  else if (!event.target.closest?.("#peek")) hide();
});
addEventListener("scroll", hide, { passive: true });

function hint(link) {
  if (!link.dataset.quote) return;
  peek.replaceChildren(element("p", { className: "quoted", dir: "auto", textContent: shortened(link.dataset.quote) }), element("p", { className: "soft small", textContent: link.dataset.name }));
  peek.hidden = false;
  const at = link.getBoundingClientRect(), size = peek.getBoundingClientRect();
  const below = at.bottom + 6 + size.height < innerHeight;
  peek.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - size.width - 8))}px`;
  peek.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - size.height - 6)}px`;
  link.setAttribute("aria-describedby", "peek");
}

function hide() {
  peek.hidden = true;
  document.querySelector("[aria-describedby='peek']")?.removeAttribute("aria-describedby");
}

function shortened(text) {
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}

// ------------------------------------------------------------ the conversation outlives a reload of the page

function save() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ conversation, turns }));
  } catch {
    // No room, or no storage: the conversation is then as long as the page.
  }
}

try {
  const stored = JSON.parse(sessionStorage.getItem(STORE));
  if (stored?.turns) {
    ({ conversation, turns } = stored);
    // A reload ended what was under way.
    for (const turn of turns) for (const reply of turn.replies) if (!reply.citations && !reply.failure) Object.assign(reply, { stopped: true, text: reply.text ?? "", plain: reply.text ?? "", citations: [] });
    for (const turn of turns) show(turn);
  }
} catch {
  sessionStorage.removeItem(STORE);
}
loadModels().catch((error) => list.before(element("div", { id: "no-models", className: "notice bad", role: "alert" }, element("p", { className: "title", textContent: error.title ?? "Something went wrong on this page" }), element("p", {}, prose(error.text ?? String(error))))));
question.focus({ preventScroll: true });
