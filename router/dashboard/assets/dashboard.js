// Draws the charts, keeps the page up to date, and remembers the theme. The pages work without it, charts apart.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();

  // ---- numbers, as the server says them
  const short = (v) => {
    const size = Math.abs(v);
    const [by, unit] = size >= 1e9 ? [1e9, "B"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
    return (v / by).toLocaleString("en", { maximumFractionDigits: by === 1 ? 0 : 1 }) + unit;
  };
  const usd = (v) => {
    const size = Math.abs(v);
    if (size === 0 || size >= 0.1) return "$" + v.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return "$" + v.toFixed(Math.min(9, 1 - Math.floor(Math.log10(size))));
  };
  const UNITS = {
    count: short, tokens: short, usd,
    percent: (v) => (v * 100).toLocaleString("en", { maximumFractionDigits: 2 }) + "%",
    seconds: (v) => v < 1 ? Math.round(v * 1e3) + " ms" : v.toFixed(1) + " s",
    rate: (v) => Math.round(v) + " tok/s",
  };
  const pad = (n) => String(n).padStart(2, "0");
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const when = (unix, span) => {
    const d = new Date(unix * 1000);
    const day = d.getUTCDate() + " " + MONTHS[d.getUTCMonth()];
    return span >= 86400 ? day : day + " " + pad(d.getUTCHours()) + ":" + pad(d.getUTCMinutes());
  };

  // ---- charts
  const charts = new Map();
  const stacked = (spec) => {
    // The first series is drawn last and on top, so each is drawn up to the sum of itself and those below it.
    const sums = [];
    let below = spec.x.map(() => 0);
    for (const line of spec.lines) {
      below = below.map((sum, at) => sum + (line.values[at] || 0));
      sums.push(below);
    }
    return sums;
  };
  const dataOf = (spec) => {
    if (spec.kind !== "bars") return [spec.x, ...spec.lines.map((line) => line.values)];
    return [spec.x, ...stacked(spec).reverse()];
  };
  const draw = (holder) => {
    const spec = JSON.parse(holder.dataset.chart);
    const bars = spec.kind === "bars";
    const lines = bars ? [...spec.lines].reverse() : spec.lines;
    const say = UNITS[spec.unit];
    const state = { spec, shape: "" };
    const axis = { stroke: colour("dim"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const options = {
      width: Math.max(240, holder.clientWidth), height: 196, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
      padding: [8, 8, 0, 0],
      cursor: { points: { show: !bars }, y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: {
        x: { range: (_, min, max) => bars ? [min - spec.span / 2, max + spec.span / 2] : [min, max] },
        y: { range: (_, min, max) => spec.unit === "percent" ? [0, 1] : [0, max > 0 ? max * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 60, size: 28, values: (_, at) => {
          let before = "";
          return at.map((ts) => {
            const [day, month, time] = when(ts, 60).split(" ");
            const date = day + " " + month;
            const label = spec.span >= 86400 ? date : time === "00:00" || (spec.x.length > 48 && date !== before) ? date : time;
            before = date;
            return label;
          });
        }, ...(spec.span >= 86400 ? { incrs: [1, 2, 3, 5, 7, 14, 30, 61, 92].map((d) => d * 86400) } : {}) },
        { ...axis, size: (_, labels) => Math.max(40, 12 + 7 * Math.max(0, ...(labels || []).map((label) => label.length))),
          values: (_, at) => at.map((v) => spec.unit === "count" && v % 1 ? "" : say(v)) },
      ],
      series: [
        { label: spec.span >= 86400 ? "Day" : "Time", value: (_, ts) => ts == null ? "all" : when(ts, spec.span) },
        ...lines.map((line, place) => ({
          label: line.label,
          stroke: colour(line.colour), fill: bars ? colour(line.colour) : undefined, width: bars ? 0 : 2,
          spanGaps: false, points: { show: false },
          paths: bars ? uPlot.paths.bars({ size: [0.78, 40], radius: 0 }) : undefined,
          value: (_, v, __, at) => {
            const now = charts.get(holder.id)?.spec || spec;
            const line = (bars ? [...now.lines].reverse() : now.lines)[place];
            if (at != null) return line.values[at] == null ? "no data" : say(line.values[at]);
            const known = line.values.filter((one) => one != null);
            return bars ? say(known.reduce((sum, one) => sum + one, 0)) : known.length ? say(known[known.length - 1]) : "–";
          },
        })),
      ],
    };
    holder.textContent = "";
    state.shape = shapeOf(spec);
    charts.set(holder.id, state);
    state.plot = new uPlot(options, dataOf(spec), holder);
    if (bars) {
      // What is drawn first lies lowest, and is to be named first.
      const [, ...rows] = holder.querySelectorAll(".u-legend .u-series");
      for (const row of rows.reverse()) row.parentElement.append(row);
    }
  };
  const shapeOf = (spec) => JSON.stringify([spec.unit, spec.kind, spec.span, spec.lines.map((line) => [line.label, line.colour])]);
  const refresh = (holder) => {
    const spec = JSON.parse(holder.dataset.chart);
    const state = charts.get(holder.id);
    if (!state || state.shape !== shapeOf(spec)) { drop(holder.id); draw(holder); return; }
    state.spec = spec;
    state.plot.setData(dataOf(spec));
  };
  const drop = (id) => { charts.get(id)?.plot?.destroy(); charts.delete(id); };
  const drawAll = () => {
    for (const id of [...charts.keys()]) if (!document.getElementById(id)) drop(id);
    for (const holder of document.querySelectorAll("[data-chart]")) if (!charts.has(holder.id)) draw(holder);
  };
  const redraw = () => { for (const id of [...charts.keys()]) drop(id); drawAll(); };
  let resizing = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => {
      for (const [id, state] of charts) {
        const holder = document.getElementById(id);
        if (holder) state.plot.setSize({ width: Math.max(240, holder.clientWidth), height: 196 });
      }
    });
  });

  // ---- up to date without a reload
  const live = document.getElementById("live");
  const say = (state, text) => { live.className = "live " + state; if (live.textContent !== text) live.textContent = text; };
  const morph = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("main");
    const main = document.getElementById("main");
    if (!fresh) return false;
    Idiomorph.morph(main, fresh, {
      ignoreActiveValue: true,
      callbacks: {
        beforeNodeMorphed: (old, next) => {
          if (!(old instanceof Element)) return true;
          if (old.hasAttribute("data-chart") && next.hasAttribute("data-chart") && old.id === next.id) {
            if (old.dataset.chart !== next.dataset.chart) { old.dataset.chart = next.dataset.chart; refresh(old); }
            return false;
          }
          if (old instanceof HTMLInputElement && old.type === "checkbox") return false;
          return true;
        },
        // What the reader opened stays open, and so does what was said about a filter.
        beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS") && name !== "data-live-filter",
      },
    });
    drawAll();
    return true;
  };
  const load = async (address) => {
    const answer = await fetch(address, { headers: { accept: "text/html" }, redirect: "error", credentials: "same-origin" });
    if (answer.status === 401 || answer.status === 403) { location.reload(); return false; }
    return morph(await answer.text());
  };
  const every = Number(document.getElementById("main").dataset.live) * 1000;
  let turn = 0;
  const tick = async () => {
    const mine = ++turn;
    if (!document.hidden) {
      try {
        if (await load(location.href)) say("on", "live");
      } catch { say("lost", "no connection"); }
    }
    if (mine === turn) setTimeout(tick, every);
  };
  if (every) {
    say("on", "live");
    setTimeout(tick, every);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  }

  // ---- filters that answer as one types, and choices that need no new page
  const addressOf = (form, submitter) => {
    const values = new URLSearchParams(new FormData(form, submitter));
    for (const [name, value] of [...values]) if (value === "") values.delete(name, "");
    return form.action.split("?")[0] + (values.size ? "?" + values : "");
  };
  let newest = 0;
  const go = async (address) => {
    const mine = ++newest;
    history.replaceState(null, "", address);
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, redirect: "error" });
      const html = await answer.text();
      if (mine === newest) morph(html);
    } catch { say("lost", "no connection"); }
  };
  for (const form of document.querySelectorAll("form[data-filter]")) {
    form.dataset.liveFilter = "";
    let waiting = 0;
    form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => go(addressOf(form)), 180); });
  }
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-filter], form[data-go]")) return;
    event.preventDefault();
    go(addressOf(event.target, event.submitter));
  });

  // ---- theme and copying
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("turnout-theme", root.dataset.theme); } catch { /* it holds for this page then */ }
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch { button.textContent = "Select it"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  drawAll();
})();
