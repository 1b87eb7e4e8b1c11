// Plays scenarios with the unmodified openai package and prints what the client holds.
//
//   node openai_scenarios.mjs BASE_URL API_KEY SCENARIOS
//
// SCENARIOS is a file with a JSON array of {model, way, request, results?, retries?}: `way` is whole, stream or helper
// with "+usage" for include_usage; `request` has the further members of the body. With `results` (tool results) the
// message that was got is sent back in a second turn. Prints, in the same order, {completion, chunks, error, sent}.

import { readFileSync } from 'node:fs';
import OpenAI from 'openai';

const [baseURL, apiKey, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, timeout: 30_000 });

const WAYS = {
  async whole(openai, body) {
    return await openai.chat.completions.create(body);
  },
  async stream(openai, body, chunks) {
    for await (const chunk of await openai.chat.completions.create({ ...body, stream: true })) chunks.push(chunk);
    return null;
  },
  async helper(openai, body, chunks) {
    const stream = openai.chat.completions.stream(body);
    stream.on('chunk', (chunk) => chunks.push(structuredClone(chunk)));
    return await stream.finalChatCompletion();
  },
};

async function ask(openai, way, body) {
  const [name, usage] = way.split('+');
  const asked = usage ? { ...body, stream_options: { include_usage: true } } : body;
  const chunks = [];
  try {
    return { completion: await WAYS[name](openai, asked, chunks), chunks, error: null };
  } catch (error) {
    return { completion: null, chunks, error: described(error) };
  }
}

function described(error) {
  return {
    class: error.constructor.name,
    api: error instanceof OpenAI.APIError,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    message: error.message,
    body: error.error ?? null,
    headers: Object.fromEntries(error.headers ?? []),
  };
}

// A stream put together by hand, as users of create({stream: true}) do.
function message(chunks) {
  const made = { role: 'assistant', content: '', reasoning_details: [], tool_calls: [] };
  for (const { delta } of chunks.flatMap((chunk) => chunk.choices)) {
    for (const field of ['content', 'reasoning', 'reasoning_content'])
      if (delta[field]) made[field] = (made[field] ?? '') + delta[field];
    made.reasoning_details.push(...(delta.reasoning_details ?? []));
    for (const { index, ...call } of delta.tool_calls ?? [])
      if (made.tool_calls[index]) made.tool_calls[index].function.arguments += call.function.arguments;
      else made.tool_calls[index] = structuredClone(call);
  }
  return made;
}

async function play({ model, way, request, results, retries }) {
  const openai = retries === undefined ? client : client.withOptions({ maxRetries: retries });
  const body = { model, ...request };
  const got = await ask(openai, way, body);
  if (!results || got.error) return got;
  const sent = got.completion?.choices[0].message ?? message(got.chunks);
  const again = await ask(openai, 'whole', { ...body, messages: [...body.messages, sent, ...results] });
  return { ...got, error: again.error, sent };
}

const held = [];
for (const scenario of JSON.parse(readFileSync(path, 'utf8'))) held.push(await play(scenario));
process.stdout.write(JSON.stringify(held));
