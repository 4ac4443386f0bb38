// Answers of /v1/chat/completions as they come, and what goes wrong on the way, in words.

/** An answer that did not come: `title`, `text`, and seconds after which asking again makes sense. */
export class Failure extends Error {
  constructor(title, text, { status = 0, code = "", wait = 0 } = {}) {
    super(text);
    Object.assign(this, { title, text, status, code, wait });
  }
}

const TITLES = {
  400: "This question cannot be answered",
  401: "You are signed out",
  403: "You may not ask this",
  404: "What answered until now is no longer served",
  408: "The question did not arrive in time",
  413: "The conversation is too long to send",
  429: "Many people are asking at the moment",
  502: "What answers cannot be reached",
  503: "The server takes no questions at the moment",
  504: "The answer took too long",
};

// What the status alone does not tell.
const CODES = {
  "serving.too-long": "The conversation is too long for the model",
  "serving.down": "A part of the server is down",
  "serving.limit": "Your key has asked as often as it may for now",
};

// What a person does about it; the server's own words are for programs, and name headers and parameters.
const CURES = {
  "serving.busy": "Ask again in a moment.",
  "serving.limit": "Ask again when the time below is over; whoever runs the server may raise the limit.",
  "serving.down": "Ask again in a moment. Whoever runs the server finds the reason in its log.",
  "serving.closing": "Ask again when the server runs again.",
  "serving.deadline": "Ask again when fewer people ask, or ask for less.",
  "serving.too-long": "Ask it in a new conversation, or shorter.",
  "serving.key": "Sign in again.",
  "serving.scope": "Sign in with another key; whoever runs the server makes one with `twofold keys add --scope`.",
  "serving.request": "Correct the form, and send it again.",
  "serving.conflict": "Open it again, look at what it says now, and make your change once more.",
  "store.locked": "Wait until that command has ended, then try again. Questions are answered meanwhile.",
};

/** What is wrong and what a person can do, from a message that says both to a program. */
function explained(code, message) {
  const text = !CURES[code] ? message : `${problemOf(message)}. ${CURES[code]}`;
  // A moment of the server's clock, as the clock on the wall here shows it.
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)/g, (moment) => new Date(moment).toLocaleTimeString([], { timeStyle: "short" }));
}

/** The first sentence, without an error's code: the cure follows it, and begins with a capital. */
function problemOf(message) {
  return message.split(/[.] (?=[A-Z])/)[0].replace(/ \([a-z]+([.][a-z-]+)+\)/, "").replace(/[.]$/, "");
}

/** Seconds in words: "50 s", "12 min", "3 h 5 min". */
export function lasting(seconds) {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The failure that a reply tells of. */
export async function failureOf(reply) {
  let error = {};
  try {
    error = (await reply.json()).error ?? {};
  } catch {
    // Not JSON: a proxy's page, or nothing at all.
  }
  return failure(error, reply.status, Number(reply.headers.get("retry-after")) || 0);
}

function failure(error, status, wait) {
  const title = CODES[error.code] ?? TITLES[status] ?? "No answer came";
  const text = explained(error.code, error.message ?? "Try again in a moment.");
  return new Failure(title, text, { status, code: error.code, wait });
}

/** Ask, and yield `{piece}` for each piece of the answer and `{reply}` at its end. */
export async function* asked(model, messages, signal) {
  let reply;
  try {
    reply = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, messages, stream: true }),
      signal,
    });
  } catch (error) {
    throw lost(error);
  }
  if (!reply.ok) throw await failureOf(reply);
  let ended = false;
  for await (const event of events(reply.body)) {
    if (event.error) throw failure(event.error, statusOf(event.error), 0);
    const choice = event.choices?.[0];
    if (choice?.finish_reason) {
      ended = true;
      yield { reply: { ...event.twofold, citations: choice.delta.citations ?? [], cut: choice.finish_reason === "length" } };
    } else if (choice?.delta.content) yield { piece: choice.delta.content };
  }
  // A proxy that ends the connection ends the stream without an error.
  if (!ended) throw new Failure("The answer broke off", "The connection ended before the answer did. Ask again.");
}

/** The JSON values of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // A chunk of the network may end within an event.
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
        if (data && data !== "[DONE]") yield JSON.parse(data);
      }
    }
  } catch (error) {
    throw lost(error);
  } finally {
    // Also where the reader stops early: else the server would go on writing for nobody.
    reader.cancel().catch(() => {});
  }
}

/** The failure that the network, or a server that is gone, makes of a request. */
export function lost(error) {
  // The person's own "Stop" is no failure.
  if (error.name === "AbortError") return error;
  return new Failure("The server does not answer", "Check the connection and that `twofold serve` runs, then try again.");
}

// Once a stream has begun its status is sent: what goes wrong then has only a type and a code.
function statusOf(error) {
  if (error.code?.includes("deadline")) return 504;
  if (error.type === "rate_limit_error") return 429;
  return error.type === "server_error" ? 503 : 400;
}
