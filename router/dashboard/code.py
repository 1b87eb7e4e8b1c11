"""Code to copy that asks this very gateway for a model."""

from __future__ import annotations

import json


def samples(base_url: str, model: str) -> list[tuple[str, str]]:
    """(language, program). Names are quoted as each language demands."""
    base, quoted = json.dumps(f"{base_url}/v1"), json.dumps(model)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True})
    shell = body.replace("'", "'\\''")
    return [
        (
            "curl",
            f"curl {base_url}/v1/chat/completions \\\n"
            '  -H "Authorization: Bearer $TURNOUT_API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  -d '{shell}'",
        ),
        (
            "Python",
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url={base}, api_key=os.environ.get("TURNOUT_API_KEY", "none"))\n'
            "stream = client.chat.completions.create(\n"
            f"    model={quoted},\n"
            '    messages=[{"role": "user", "content": "Hello"}],\n'
            "    stream=True,\n"
            ")\n"
            "for chunk in stream:\n"
            "    if chunk.choices:\n"
            '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n',
        ),
        (
            "TypeScript",
            'import OpenAI from "openai";\n\n'
            f'const client = new OpenAI({{ baseURL: {base}, apiKey: process.env.TURNOUT_API_KEY ?? "none" }});\n'
            "const stream = await client.chat.completions.create({\n"
            f"  model: {quoted},\n"
            '  messages: [{ role: "user", content: "Hello" }],\n'
            "  stream: true,\n"
            "});\n"
            "for await (const chunk of stream) {\n"
            '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n'
            "}\n",
        ),
    ]
