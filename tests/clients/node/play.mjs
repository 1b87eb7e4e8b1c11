// Plays scenarios with unmodified clients and prints what they hold: ../python/play.py for node, told there.
//
//   node play.mjs MODULE BASE_URL API_KEY PLAY

import { readFileSync } from 'node:fs';

const [module, baseURL, apiKey, path] = process.argv.slice(2);
const { messages, tools, results, scenarios } = JSON.parse(readFileSync(path, 'utf8'));
const clients = await import(`./${module}.mjs`);

async function played({ client, model, stream }) {
  const held = { first: null, second: null, error: null };
  try {
    const conversation = new clients[client]({ baseURL, apiKey, messages, tools }, model, stream);
    held.first = await conversation.ask();
    conversation.answer(results);
    held.second = await conversation.ask();
  } catch (error) {
    held.error = `${error?.constructor?.name}: ${error?.message}`;
  }
  return held;
}

const held = [];
for (const scenario of scenarios) held.push(await played(scenario));
process.stdout.write(JSON.stringify(held));
