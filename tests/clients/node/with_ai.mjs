// The AI SDK over @openrouter/ai-sdk-provider and @ai-sdk/openai-compatible: generateText and streamText.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { generateText, jsonSchema, streamText, tool } from 'ai';

globalThis.AI_SDK_LOG_WARNINGS = false;

class Conversation {
  constructor({ baseURL, apiKey, messages, tools }, model, stream) {
    this.model = this.made(baseURL, apiKey)(model);
    this.tools = Object.fromEntries(
      tools.map(({ function: { name, description, parameters } }) => [
        name,
        tool({ description, inputSchema: jsonSchema(parameters) }),
      ]),
    );
    this.messages = [...messages];
    this.stream = stream;
  }

  async ask() {
    const asked = { model: this.model, tools: this.tools, messages: this.messages, maxRetries: 0 };
    const got = this.stream ? await drained(asked) : await generateText(asked);
    const [reasoning, content, calls, usage, finishReason, response, metadata] = await Promise.all(
      [got.reasoningText, got.text, got.toolCalls, got.usage, got.finishReason, got.response, got.providerMetadata],
    );
    this.said = response.messages;
    const cost = metadata?.openrouter?.usage?.cost;
    return {
      reasoning: reasoning ?? '',
      content,
      calls: calls.map((call) => ({ id: call.toolCallId, name: call.toolName, arguments: call.input })),
      usage: {
        prompt: usage.inputTokens,
        completion: usage.outputTokens,
        cached: usage.inputTokenDetails?.cacheReadTokens,
        reasoning: usage.outputTokenDetails?.reasoningTokens,
        ...(cost !== undefined && { cost }),
      },
      finish: { 'tool-calls': 'tool_calls', 'content-filter': 'content_filter' }[finishReason] ?? finishReason,
    };
  }

  answer(results) {
    const content = results.map((one) => ({
      type: 'tool-result',
      toolCallId: one.id,
      toolName: one.name,
      output: { type: 'text', value: one.content },
    }));
    this.messages.push(...this.said, ...(content.length ? [{ role: 'tool', content }] : []));
  }
}

// streamText reports a failure as a part of the stream, and its promises reject only where nothing at all came.
async function drained(asked) {
  const got = streamText({ ...asked, onError: () => {} });
  for await (const part of got.fullStream) if (part.type === 'error') throw asError(part.error);
  return got;
}

function asError(error) {
  return error instanceof Error ? error : new Error(JSON.stringify(error));
}

export class OpenRouter extends Conversation {
  made(baseURL, apiKey) {
    return createOpenRouter({ apiKey, baseURL, compatibility: 'strict' });
  }
}

export class OpenAiCompatible extends Conversation {
  made(baseURL, apiKey) {
    return createOpenAICompatible({ name: 'turnout', apiKey, baseURL, includeUsage: true });
  }
}
