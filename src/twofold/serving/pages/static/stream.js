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
  return new Failure(title, error.message ?? "Try again in a moment.", { status, code: error.code, wait });
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

function lost(error) {
  // The person's own "Stop" is no failure.
  if (error.name === "AbortError") return error;
  return new Failure("The server does not answer", "Check the connection and that `twofold serve` runs, then ask again.");
}

// Once a stream has begun its status is sent: what goes wrong then has only a type and a code.
function statusOf(error) {
  if (error.code?.includes("deadline")) return 504;
  if (error.type === "rate_limit_error") return 429;
  return error.type === "server_error" ? 503 : 400;
}
