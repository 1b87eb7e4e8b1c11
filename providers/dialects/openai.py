"""Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, DeepSeek, Groq, …"""

from __future__ import annotations

from providers.dialects.profile import Profile

OPENAI = Profile(name="openai")
