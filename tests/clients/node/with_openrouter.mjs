// The OpenRouter TypeScript SDK: its own message goes back, of a stream one put together from its own types.

import { OpenRouter } from '@openrouter/sdk';

export class Sdk {
  constructor({ baseURL, apiKey, messages, tools }, model, stream) {
    this.sdk = new OpenRouter({ apiKey, serverURL: baseURL, timeoutMs: 30_000, retryConfig: { strategy: 'none' } });
    this.asked = { model, tools, stream };
    this.messages = [...messages];
  }

  async ask() {
    const got = await this.sdk.chat.send({ chatRequest: { ...this.asked, messages: this.messages } });
    const { message, finishReason, usage } = this.asked.stream ? await gathered(got) : parts(got);
    this.message = message;
    return {
      reasoning: message.reasoning ?? '',
      content: message.content ?? '',
      calls: (message.toolCalls ?? []).map((call) => ({ id: call.id, ...call.function })),
      usage: {
        prompt: usage.promptTokens,
        completion: usage.completionTokens,
        cached: usage.promptTokensDetails.cachedTokens,
        reasoning: usage.completionTokensDetails.reasoningTokens,
        cost: usage.cost,
      },
      finish: finishReason,
    };
  }

  answer(results) {
    const made = results.map(({ id, content }) => ({ role: 'tool', toolCallId: id, content }));
    this.messages.push(this.message, ...made);
  }
}

function parts({ choices: [{ message, finishReason }], usage }) {
  return { message, finishReason, usage };
}

async function gathered(stream) {
  const message = { role: 'assistant', content: '', reasoning: '', reasoningDetails: [], toolCalls: [] };
  const made = { message, finishReason: null, usage: null };
  for await (const chunk of stream) {
    if (chunk.error) throw new Error(chunk.error.message);
    made.usage = chunk.usage ?? made.usage;
    for (const { delta, finishReason } of chunk.choices) {
      made.finishReason = finishReason ?? made.finishReason;
      message.content += delta.content ?? '';
      message.reasoning += delta.reasoning ?? '';
      message.reasoningDetails.push(...(delta.reasoningDetails ?? []));
      for (const { index, ...call } of delta.toolCalls ?? [])
        if (message.toolCalls[index]) message.toolCalls[index].function.arguments += call.function.arguments ?? '';
        else message.toolCalls[index] = structuredClone(call);
    }
  }
  return made;
}
