"""Prompts in many scripts and shapes, to measure the token estimate by; written for these tests."""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]

SENTENCES = {
    "English": """The committee met on Tuesday to discuss whether the old bridge should be repaired or replaced.
Nobody had expected the storm to arrive so early, and half of the boats were still out at sea.
Please summarise the attached report in three bullet points, and keep the tone friendly but professional.
Photosynthesis converts light into chemical energy, which plants store in the bonds of sugars.
If you can't reproduce the bug, try clearing the cache, restarting the server, and checking the logs again.
She opened the letter, read it twice, and then quietly put it back in the drawer where she had found it.
Quarterly revenue rose by twelve percent, mostly because of stronger demand in the northern markets.
What would you recommend to somebody who wants to learn woodworking but only has a small balcony?""",
    "German": """Der Ausschuss traf sich am Dienstag, um über die Instandsetzung der alten Brücke zu beraten.
Niemand hatte damit gerechnet, dass der Sturm so früh kommt, und die Hälfte der Boote war noch auf See.
Bitte fasse den beigefügten Bericht in drei Stichpunkten zusammen und bleibe dabei freundlich und sachlich.
Die Krankenversicherungsbeiträge werden zum Jahreswechsel voraussichtlich um einen halben Prozentpunkt steigen.
Sie öffnete den Brief, las ihn zweimal und legte ihn dann leise zurück in die Schublade.
Wer auf dem Balkon Tomaten zieht, sollte sie täglich gießen und vor kräftigem Wind schützen.""",
    "French": """Le comité s'est réuni mardi pour décider si le vieux pont devait être réparé ou remplacé.
Personne ne s'attendait à ce que la tempête arrive si tôt, et la moitié des bateaux étaient encore en mer.
Résume le rapport ci-joint en trois points, s'il te plaît, sur un ton aimable mais professionnel.
Elle ouvrit la lettre, la relut deux fois, puis la remit doucement dans le tiroir où elle l'avait trouvée.
La croissance du trimestre s'explique surtout par une demande plus forte dans les régions du nord.
Qu'est-ce que tu conseillerais à quelqu'un qui veut apprendre à cuisiner sans y passer des heures ?""",
    "Spanish": """El comité se reunió el martes para decidir si el viejo puente debía repararse o sustituirse.
Nadie esperaba que la tormenta llegara tan pronto, y la mitad de los barcos seguía en alta mar.
Resume el informe adjunto en tres puntos, por favor, con un tono amable pero profesional.
Abrió la carta, la leyó dos veces y luego la guardó en silencio en el cajón donde la había encontrado.
Los ingresos del trimestre crecieron un doce por ciento gracias a la demanda de los mercados del norte.""",
    "Chinese": """委员会星期二开会，讨论那座老桥应该修缮还是重建。
没有人料到暴风雨来得这么早，一半的渔船还在海上。
请把附件中的报告总结成三点，语气要友好而专业。
光合作用把光能转化为化学能，并储存在糖类的化学键中。
她打开信，读了两遍，然后轻轻地把它放回原来的抽屉里。
本季度收入增长了百分之十二，主要得益于北方市场需求的增加。
如果你无法重现这个错误，请先清除缓存，重启服务器，再查看日志。""",
    "Japanese": """委員会は火曜日に集まり、古い橋を修理するか架け替えるかを話し合いました。
嵐がこんなに早く来るとは誰も思わず、船の半分はまだ海の上でした。
添付の報告書を三つの要点にまとめ、丁寧で親しみやすい文体にしてください。
彼女は手紙を開けて二度読み、それから静かに元の引き出しに戻した。
今四半期の売上は、北部市場の需要が伸びたことで十二パーセント増加しました。
エラーを再現できない場合は、キャッシュを消去し、サーバーを再起動してください。""",
    "Korean": """위원회는 화요일에 모여 낡은 다리를 고칠지 새로 지을지 논의했습니다.
폭풍이 이렇게 일찍 올 줄은 아무도 몰랐고, 배의 절반은 아직 바다에 있었습니다.
첨부된 보고서를 세 가지 요점으로 정리하고 친근하면서도 전문적인 어조로 써 주세요.
그녀는 편지를 열어 두 번 읽은 뒤 조용히 서랍에 다시 넣었다.
이번 분기 매출은 북부 시장의 수요 증가로 십이 퍼센트 늘었습니다.""",
    "Russian": """Комитет собрался во вторник, чтобы решить, чинить старый мост или строить новый.
Никто не ожидал, что буря придёт так рано, и половина лодок ещё оставалась в море.
Пожалуйста, изложи приложенный отчёт в трёх пунктах, дружелюбно, но по-деловому.
Она открыла письмо, дважды перечитала его и тихо положила обратно в ящик стола.
Выручка за квартал выросла на двенадцать процентов благодаря спросу на северных рынках.
Если ошибка не воспроизводится, очистите кэш, перезапустите сервер и проверьте журналы.""",
    "Arabic": """اجتمعت اللجنة يوم الثلاثاء لمناقشة ما إذا كان ينبغي إصلاح الجسر القديم أو استبداله.
لم يتوقع أحد أن تصل العاصفة مبكرا، وكان نصف القوارب لا يزال في البحر.
من فضلك لخص التقرير المرفق في ثلاث نقاط بأسلوب ودي ومهني.
فتحت الرسالة وقرأتها مرتين ثم أعادتها بهدوء إلى الدرج.
ارتفعت إيرادات الربع الأخير بنسبة اثني عشر في المئة بفضل الطلب في أسواق الشمال.""",
    "Hindi": """समिति मंगलवार को मिली ताकि तय किया जा सके कि पुराने पुल की मरम्मत हो या नया बने।
किसी ने नहीं सोचा था कि तूफान इतनी जल्दी आएगा, और आधी नावें अभी समुद्र में थीं।
कृपया संलग्न रिपोर्ट को तीन बिंदुओं में संक्षेप में लिखें और भाषा मित्रतापूर्ण रखें।
उसने पत्र खोला, दो बार पढ़ा और फिर चुपचाप दराज में वापस रख दिया।
उत्तरी बाजारों में मांग बढ़ने से इस तिमाही की आय बारह प्रतिशत बढ़ी।""",
    "emoji": """Great news 🎉🎉 we shipped it 🚀 thanks everyone 🙏
see you at the beach 🏖️😎 bring snacks 🍉🍕
love this so much ❤️❤️❤️ congrats 👏🔥
hmm 🤔 not sure about that 😅 let's talk tomorrow 📞
Happy birthday 🎂🎈🥳 hope it's a good one ✨""",
}

SNIPPETS = {
    "JavaScript": """export async function fetchPage(url, { retries = 3, signal } = {}) {
  for (let attempt = 0; attempt <= retries; attempt++) {
    const response = await fetch(url, { signal, headers: { accept: 'application/json' } });
    if (response.ok) return response.json();
    if (response.status < 500) throw new HttpError(response.status, await response.text());
    await new Promise((resolve) => setTimeout(resolve, 2 ** attempt * 100));
  }
  throw new Error(`gave up on ${url}`);
}
""",
    "Go": """func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
\ts.mu.RLock()
\tdefer s.mu.RUnlock()
\tentry, ok := s.entries[key]
\tif !ok || time.Now().After(entry.expires) {
\t\treturn nil, fmt.Errorf("get %q: %w", key, ErrNotFound)
\t}
\treturn entry.value, nil
}
""",
    "Rust": """impl<T: Clone + Ord> Heap<T> {
    pub fn push(&mut self, item: T) {
        self.items.push(item);
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.items[parent] <= self.items[child] { break; }
            self.items.swap(parent, child);
            child = parent;
        }
    }
}
""",
    "SQL": """SELECT c.name, COUNT(o.id) AS orders, SUM(o.total_cents) / 100.0 AS revenue
FROM customers AS c
LEFT JOIN orders AS o ON o.customer_id = c.id AND o.created_at >= DATE '2026-01-01'
WHERE c.country IN ('DE', 'FR', 'JP') AND c.deleted_at IS NULL
GROUP BY c.name HAVING SUM(o.total_cents) > 100000
ORDER BY revenue DESC LIMIT 50;
""",
    "HTML": """<section class="card" id="pricing-table">
  <h2>Choose your plan</h2>
  <ul role="list">
    <li><a href="/signup?plan=basic" data-plan="basic">Basic <small>$9 per month</small></a></li>
    <li><a href="/signup?plan=team" data-plan="team">Team <small>$29 per month</small></a></li>
  </ul>
</section>
""",
}

Prompt = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Messages and tools."""


def prompts() -> dict[str, list[Prompt]]:
    """At least 200, by kind; always the same."""
    rng = Random(20)
    kinds: dict[str, list[Prompt]] = {}
    for name, text in SENTENCES.items():
        kinds[name] = [_said(_prose(rng, text.split("\n"), size)) for size in (1, 2, 3, 5, 8, 12, 20, 30, 45, 60, 80)]
    for name, text in SNIPPETS.items():
        kinds[name] = [_said(_code(rng, text, size)) for size in (1, 2, 3, 5, 8, 12)]
    kinds["Python"] = [_said(_piece(rng, path)) for path in rng.sample(sorted((ROOT / "router").glob("*.py")), 14)]
    kinds["Markdown"] = [_said(_piece(rng, ROOT / "README.md", 900)) for _ in range(8)]
    kinds["JSON"] = [
        _said(json.dumps(_records(rng, size), indent=indent)) for size in (2, 9, 30, 60) for indent in (None, 2)
    ]
    kinds["log"] = [_said("".join(_log_line(rng) for _ in range(size))) for size in (3, 10, 20, 40, 80, 100)]
    kinds["numbers"] = [
        _said(", ".join(str(rng.randint(0, 99_999)) for _ in range(size))) for size in (20, 60, 120, 200)
    ]
    kinds["hashes"] = [_said("\n".join(rng.randbytes(20).hex() for _ in range(size))) for size in (5, 20, 40, 60)]
    kinds["base64"] = [_said(base64.b64encode(rng.randbytes(size)).decode()) for size in (300, 900, 1_500, 2_500)]
    kinds["uuids"] = [
        _said("\n".join(str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(size))) for size in (5, 20, 50)
    ]
    kinds["conversation"] = [_conversation(rng, size) for size in (2, 4, 8, 12, 20, 30, 40, 60)]
    kinds["tools"] = [
        (_said("What can you do?")[0], [_tool(rng) for _ in range(size)]) for size in (1, 2, 4, 8, 12, 20)
    ]
    kinds["pictures"] = [_picture(rng, size) for size in (1_000, 5_000, 20_000, 50_000)]
    return kinds


def _said(text: str) -> Prompt:
    return [{"role": "user", "content": text}], []


def _prose(rng: Random, sentences: list[str], count: int) -> str:
    return " ".join(rng.choice(sentences) for _ in range(count))


def _code(rng: Random, text: str, copies: int) -> str:
    """Copies in which names and numbers differ."""
    names = sorted(set(re.findall(r"\b[a-z]{5,}\b", text)))
    out = []
    for _ in range(copies):
        old, new = rng.choice(names), rng.choice(["total", "payload", "cursor", "handler", "shardIndex"])
        out.append(re.sub(rf"\b{old}\b", new, text).replace("100", str(rng.randint(10, 9_999))))
    return "\n".join(out)


def _piece(rng: Random, path: Path, size: int = 3_000) -> str:
    text = path.read_text()
    start = rng.randrange(max(1, len(text) - size))
    return text[start : start + size]


def _records(rng: Random, count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": rng.randint(1, 10**6),
            "user_name": rng.choice(["ada", "grace", "edsger", "barbara"]),
            "createdAt": f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T08:00:00Z",
            "score": round(rng.random(), rng.randint(1, 6)),
            "tags": rng.sample(["red", "urgent", "archived", "beta"], 2),
            "active": rng.random() < 0.5,
        }
        for _ in range(count)
    ]


def _log_line(rng: Random) -> str:
    return (
        f"2026-11-{rng.randint(10, 28)}T{rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)}.123Z "
        f"{rng.choice(['INFO', 'WARN', 'ERROR'])} [worker-{rng.randint(1, 9)}] "
        f"{rng.choice(['request completed', 'connection reset by peer', 'retrying upstream call'])} "
        f"trace={rng.getrandbits(64):016x} duration_ms={rng.randint(1, 9_999)} ip=10.0.{rng.randint(0, 255)}.7\n"
    )


def _conversation(rng: Random, turns: int) -> Prompt:
    english = SENTENCES["English"].split("\n")
    messages: list[dict[str, Any]] = [{"role": "system", "content": _prose(rng, english, 3)}]
    for number in range(turns):
        messages.append({"role": "user", "content": _prose(rng, english, 1)})
        call = {"id": f"call_{number}", "type": "function"}
        function = {"name": "search", "arguments": json.dumps({"query": _prose(rng, english, 1), "limit": 5})}
        messages.append({"role": "assistant", "content": "", "tool_calls": [{**call, "function": function}]})
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": json.dumps(_records(rng, 2))})
    return messages, []


def _tool(rng: Random) -> dict[str, Any]:
    name = rng.choice(["search_files", "get_weather", "run_query", "send_email", "list_issues"])
    properties = {
        key: {
            "type": rng.choice(["string", "integer", "boolean"]),
            "description": _prose(rng, SENTENCES["English"].split("\n"), 1),
        }
        for key in rng.sample(["path", "city", "limit", "query", "recipient", "dryRun"], 3)
    }
    parameters = {"type": "object", "properties": properties, "required": sorted(properties)[:1]}
    return {
        "type": "function",
        "function": {"name": name, "description": "Does what it says.", "parameters": parameters},
    }


def _picture(rng: Random, size: int) -> Prompt:
    url = "data:image/png;base64," + base64.b64encode(rng.randbytes(size)).decode()
    text = _prose(rng, SENTENCES["English"].split("\n"), 3)
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}], []
