// openai-node: its helper with the message sent back as it was got, and plain chunks with the fields it knows.

import OpenAI from 'openai';

class Base {
  constructor({ baseURL, apiKey, messages, tools }, model, stream) {
    this.openai = new OpenAI({ baseURL, apiKey, timeout: 30_000, maxRetries: 0 });
    this.asked = { model, tools };
    this.messages = [...messages];
    this.stream = stream;
  }

  answer(results) {
    const made = results.map(({ id, content }) => ({ role: 'tool', tool_call_id: id, content }));
    this.messages.push(this.message, ...made);
  }
}

export class Helper extends Base {
  async ask() {
    const body = { ...this.asked, messages: this.messages };
    if (!this.stream) {
      const completion = await this.openai.chat.completions.create(body);
      this.message = completion.choices[0].message;
      return shown(completion);
    }
    const stream = this.openai.chat.completions.stream(body);
    let reasoning = ''; // a user shows it delta by delta
    stream.on('chunk', (chunk) => (reasoning += chunk.choices[0]?.delta.reasoning ?? ''));
    const completion = await stream.finalChatCompletion();
    this.message = completion.choices[0].message;
    return { ...shown(completion), reasoning };
  }
}

export class Plain extends Base {
  async ask() {
    const body = { ...this.asked, messages: this.messages };
    const completion = this.stream ? await this.gathered(body) : await this.openai.chat.completions.create(body);
    const { role, content, tool_calls } = completion.choices[0].message;
    this.message = { role, content, ...(tool_calls?.length && { tool_calls }) };
    return shown(completion);
  }

  async gathered(body) {
    const message = { role: 'assistant', content: '', reasoning: '', tool_calls: [] };
    const choice = { message, finish_reason: null };
    const whole = { choices: [choice], usage: null };
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await this.openai.chat.completions.create(asked)) {
      whole.usage = chunk.usage ?? whole.usage;
      for (const { delta, finish_reason } of chunk.choices) {
        choice.finish_reason = finish_reason ?? choice.finish_reason;
        message.content += delta.content ?? '';
        message.reasoning += delta.reasoning ?? '';
        for (const { index, ...call } of delta.tool_calls ?? [])
          if (message.tool_calls[index]) message.tool_calls[index].function.arguments += call.function.arguments;
          else message.tool_calls[index] = structuredClone(call);
      }
    }
    return whole;
  }
}

function shown({ choices: [{ message, finish_reason }], usage }) {
  return {
    reasoning: message.reasoning ?? '',
    content: message.content ?? '',
    calls: (message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function })),
    usage: {
      prompt: usage.prompt_tokens,
      completion: usage.completion_tokens,
      cached: usage.prompt_tokens_details.cached_tokens,
      reasoning: usage.completion_tokens_details.reasoning_tokens,
      cost: usage.cost,
    },
    finish: finish_reason,
  };
}
