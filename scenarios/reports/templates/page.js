// Charts (uPlot), the fabric over time and requests, from the data in the page. No server, no
// other file. Whatever comes out of a scenario is put in as text, never as markup.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // all plots by the figure that they are in; what a plot shows can be put in another's place
  const shown = {};
  let data = JSON.parse(document.getElementById("data").textContent);

  const make = (tag, words, parent, attributes = {}) => {
    const one = document.createElement(tag);
    if (words) one.textContent = words;
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    if (parent) parent.append(one);
    return one;
  };
  const short = (value) => value == null ? "-" : Number(value.toPrecision(4)).toLocaleString("en");
  const faded = (colour) => colour + "4d";

  // charts

  function plugin(now) {
    return { hooks: { draw: (u) => {
      const panel = now.panel;
      const pen = u.ctx, { left, top, width, height } = u.bbox;
      pen.save();
      pen.strokeStyle = style("--soft");
      pen.fillStyle = style("--soft");
      pen.setLineDash([6, 5]);
      pen.beginPath();
      for (const [level, words] of panel.levels) {
        const y = u.valToPos(level, "y", true);
        if (y < top || y > top + height) continue;
        pen.moveTo(left, y); pen.lineTo(left + width, y);
        pen.fillText(words, left + width - pen.measureText(words).width - 4, y - 5);
      }
      for (const mark of panel.marks) {
        const x = u.valToPos(mark, "x", true);
        if (x >= left && x <= left + width) { pen.moveTo(x, top); pen.lineTo(x, top + height); }
      }
      pen.stroke();
      pen.restore();
    } } };
  }

  // now: the chart and the panel that are shown
  function options(now, column, width, key) {
    const { chart, panel } = now;
    const ink = style("--ink"), line = style("--line");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false },
                   font: "12px system-ui", labelFont: "12px system-ui", labelSize: 18 };
    const timed = chart.x_labels[column] === "model seconds";
    return {
      width, height: 190, padding: [10, 12, 0, 0], legend: { show: false },
      cursor: { sync: timed ? { key: "time" } : { key }, drag: { x: true, y: false, uni: 20 } },
      scales: {
        x: { time: false, distr: chart.log_x ? 3 : 1,
             range: (u, low, high) => u.zoomed ? [low, high]
               : [chart.log_x ? low : Math.min(0, low), timed && now.chart.end ? now.chart.end : high] },
        y: { distr: chart.log_y ? 4 : 1, asinh: 1,
             range: (u, low, high) => [panel.bottom, now.panel.top ?? Math.max(high * 1.05, 1e-9)] },
      },
      axes: [{ ...axis, label: chart.x_labels[column], size: 30 },
             { ...axis, label: panel.unit, size: 52, values: (u, at) => at.map(short) }],
      series: [{}, ...panel.curves.map((curve, i) => ({
        label: curve.label, stroke: curve.colour, width: 1.4, spanGaps: !panel.gaps,
        dash: curve.dashed ? [5, 4] : undefined, points: { show: false },
        paths: panel.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
        fill: panel.stacked ? curve.colour : panel.filled && i === 0 ? faded(curve.colour) : undefined,
      }))],
      plugins: [plugin(now)],
      hooks: { setSelect: [(u) => { u.zoomed = u.select.width > 0; }] },
    };
  }

  // areas are drawn from the highest down, so that each lies in front of the sum above it
  const drawn = (panel) => panel.stacked ? { ...panel, curves: [...panel.curves].reverse() } : panel;

  function told({ panel }, place, readout) {
    const rest = panel.curves.map((curve, i) => {
      const below = panel.stacked && i ? panel.curves[i - 1].y[place] : 0;
      const value = curve.y[place];
      return `${curve.label || panel.unit} ${short(value == null ? null : value - below)}`;
    });
    readout.textContent = place == null ? panel.note : `${short(panel.x[place])}: ${rest.join(", ")}`;
  }

  function showLegend(box, labels) {
    const list = make("p", "", box, { class: "legend" });
    for (const [label, colour] of Object.entries(labels))
      make("span", label, list).style.setProperty("--colour", colour);
  }

  function showChart(figure, chart) {
    const room = figure.querySelector("div");
    showLegend(room, chart.labels);
    const grid = make("div", "", room, { class: "panels" });
    grid.style.setProperty("--columns", chart.columns);
    chart.panels.forEach((panel, i) => {
      const box = make("div", "", grid);
      const head = make("p", "", box, { class: "panel" });
      make("strong", panel.title, head);
      const readout = make("span", panel.note, head);
      const place = make("div", "", box), now = { chart, panel: drawn(panel) }, said = { panel };
      const plot = new uPlot(options(now, i % chart.columns % chart.x_labels.length, place.clientWidth, figure.id),
                             columns(now.panel), place);
      plot.over.addEventListener("dblclick", () => { plot.zoomed = false; });
      plot.hooks.setCursor = [(u) => told(said, u.cursor.idx, readout)];
      const renew = (chart) => {
        [now.chart, now.panel, said.panel] = [chart, drawn(chart.panels[i]), chart.panels[i]];
        readout.textContent = said.panel.note;
        plot.setData(columns(now.panel), !plot.zoomed);
      };
      keep(figure, plot, place, renew);
    });
  }

  const columns = (panel) => [panel.x, ...panel.curves.map((curve) => curve.y)];
  const keep = (figure, plot, place, renew) => (shown[figure.id] ??= []).push({ plot, place, renew });
  const shape = (chart) => JSON.stringify(chart.panels.map((p) => [p.title, p.curves.map((c) => c.label)]));

  // put new figures into the plots that are there, or make them anew
  function renewed(figure, chart) {
    const same = figure.dataset.shape === shape(chart);
    if (same) shown[figure.id].forEach(({ renew }) => renew(chart));
    figure.dataset.shape = shape(chart);
    return same;
  }

  // the fabric

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const svg = (tag, parent, attributes) => {
    const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    parent.append(one);
    return one;
  };
  const load = (share) => `color-mix(in oklab, var(--full) ${Math.round(100 * share)}%, var(--idle))`;
  let lit = () => {}, moveTo = () => {}, renewFabric = null;

  function showFabric(box, map) {
    const levels = map.switches.map((one) => one.level);
    // names are to be read: where they have no room beside each other, it scrolls
    const row = Math.max(map.nodes.length, ...levels.map((one) => levels.filter((other) => other === one).length));
    const wide = Math.max(Math.min(960, box.clientWidth || 960), 40 * row), step = 62, margin = 30;
    const middle = Math.max(0, ...levels) * step + 20, deep = middle + 20 - Math.min(0, ...levels) * step;
    const drawing = svg("svg", box, { style: `min-width: ${Math.min(wide, 40 * row)}px`, viewBox: `0 0 ${wide} ${deep}`, role: "img",
                                      "aria-label": "The fabric and the load of its links" });
    const across = (x) => margin + x * (wide - 2 * margin);
    const places = {}, lines = [];
    for (const one of map.nodes)
      places[one.name] = { x: across(one.x), width: one.width * (wide - 2 * margin), y: middle };
    for (const one of map.switches)
      places[one.name] = { x: across(one.x), width: 0, y: middle - one.level * step };
    for (const line of map.lines) {
      const a = places[line.a], b = places[line.b];
      const gpus = map.lines.filter((other) => other.a === line.a && other.gpu != null).length;
      const start = line.gpu != null ? a.x + a.width * (line.gpu + 0.5) / gpus : a.x + a.width / 2;
      line.rows.forEach((row, way) => {
        const aside = way ? 1.5 : -1.5;
        const drawnLine = svg("line", drawing, { x1: start + aside, y1: a.y, x2: b.x + aside, y2: b.y, class: "link" });
        const title = svg("title", drawnLine, {});
        lines.push({ row, name: map.rows[row], rate: line.rate, drawnLine, title, nic: line.nic });
      });
    }
    for (const one of map.switches) {
      const { x, y } = places[one.name];
      svg("rect", drawing, { x: x - 13, y: y - 8, width: 26, height: 16, rx: 3, class: "switch" });
      svg("text", drawing, { x, y: y + 4, class: "name" }).textContent = one.name;
    }
    for (const one of map.nodes) {
      const { x, width, y } = places[one.name], least = Math.max(width, 16);
      svg("rect", drawing, { x: x + (width - least) / 2, y: y - 9, width: least, height: 18, rx: 3, class: `node ${one.kind}` });
      svg("text", drawing, { x: x + width / 2, y: y + 4, class: "name" }).textContent = one.name;
    }
    const bar = make("p", "", box, { class: "controls" });
    const system = make("select", "", bar, { "aria-label": "system" });
    const offer = () => {
      for (const name of Object.keys(map.loads))
        if (![...system.options].some((one) => one.value === name)) make("option", name, system, { value: name });
    };
    offer();
    const slider = make("input", "", bar, { type: "range", min: 0, step: 1, value: 0, "aria-label": "time" });
    const moment = make("output", "", bar);
    let use, queues;
    const choose = () => {
      const loads = map.loads[system.value];
      use = bytes(loads.use);
      queues = {};
      for (const [egress, lanes] of Object.entries(map.queues[system.value]?.waiting ?? {}))
        for (const [lane, text] of Object.entries(lanes)) (queues[egress] ??= {})[lane] = bytes(text);
      slider.max = loads.t.length - 1;
      paint();
    };
    const paint = () => {
      const times = map.loads[system.value].t, at = Math.min(+slider.value, times.length - 1);
      moment.textContent = `${short(times[at])} s`;
      const held = map.queues[system.value];
      const sample = held?.t ? held.t.findLastIndex((t) => t <= times[at]) : -1;
      const rows = map.rows.length;
      for (const line of lines) {
        const share = use[at * rows + line.row] / 255;
        line.drawnLine.style.stroke = load(share);
        line.drawnLine.style.strokeWidth = 1 + 3 * share;
        const waiting = Object.entries(queues[line.name] ?? {}).map(([lane, sizes]) =>
          `${lane}: ${short((sizes[Math.max(sample, 0)] / 255) * held.longest / 1e6)} MB waiting`);
        line.title.textContent = [
          `${line.name}: ${Math.round(100 * share)} % of ${short(line.rate / 1e9)} Gbit/s`, ...waiting].join("\n");
      }
    };
    if ("dualpath" in map.loads) system.value = "dualpath";
    system.onchange = choose;
    slider.oninput = paint;
    choose();
    // whoever looks at the latest moment goes on doing so
    renewFabric = (newer) => {
      const latest = slider.value === slider.max, names = Object.keys(newer.loads);
      map = newer;
      offer();
      if (latest) system.value = names[names.length - 1];
      choose();
      if (latest) { slider.value = slider.max; paint(); }
    };
    lit = (nics) => lines.forEach((line) => line.drawnLine.classList.toggle("lit", nics.includes(line.nic)));
    moveTo = (name, time) => {
      if (name in map.loads) system.value = name;
      choose();
      const found = map.loads[system.value].t.findLastIndex((t) => t <= time);
      slider.value = Math.max(found, 0);
      paint();
    };
  }

  // requests

  const STAGES = [["scheduling", "assigned_s", "#c9ced6"], ["waiting for buffer and SNIC", "read_start_s", "#E69F00"],
    ["reading", "read_end_s", "#D55E00"], ["to the DE buffer", "ready_s", "#CC79A7"],
    ["waiting for a batch", "prefill_start_s", "#56B4E9"], ["prefill", "first_s", "#0072B2"],
    ["to the second token", "second_s", "#8fd6b8"], ["decode", "done_s", "#009E73"]];

  const points = (ways) => Object.entries(ways).map(([name, w]) =>
    w.submit_s.map((t, i) => [t, w.first_s[i] - t, name, i]));

  function scattered(ways) {
    const x = [...new Set(points(ways).flat().map((p) => p[0]))].sort((a, b) => a - b);
    const curves = points(ways).map((column, i) => {
      const [name, { colour }] = Object.entries(ways)[i], at = new Map(column);
      return { label: name, colour, y: x.map((t) => at.get(t) ?? null) };
    });
    const panel = { title: "", note: "", unit: "TTFT, s", x, curves, levels: [], marks: [], bottom: 0, top: null, gaps: true };
    return { x_labels: ["model seconds"], end: null, log_x: false, log_y: false, panels: [panel] };
  }

  function showRequests(figure, box, ways) {
    showLegend(box, Object.fromEntries(Object.entries(ways).map(([name, { colour }]) => [name, colour])));
    const place = make("div", "", box), chart = scattered(ways), now = { chart, panel: chart.panels[0] };
    const wanted = options(now, 0, place.clientWidth, "requests");
    wanted.series.slice(1).forEach((one) => { one.paths = () => null; one.points = { show: true, size: 4, fill: one.stroke }; });
    const plot = new uPlot(wanted, columns(now.panel), place);
    keep(figure, plot, place, (chart) => {
      [now.chart, now.panel] = [chart, chart.panels[0]];
      plot.setData(columns(now.panel), !plot.zoomed);
    });
    figure.dataset.shape = shape(chart);
    const way = make("div", "", box, { class: "way", "aria-live": "polite" });
    make("p", "Choose a point: the request nearest to it shows its way.", way, { class: "soft" });
    let from = null;
    plot.over.addEventListener("mousedown", (event) => { from = event.clientX; });
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - from) > 3) return;
      let best = null, least = Infinity;
      for (const p of points(data.requests).flat()) {
        const d = Math.hypot(plot.valToPos(p[0], "x") - event.offsetX, plot.valToPos(p[1], "y") - event.offsetY);
        if (d < least) [best, least] = [p, d];
      }
      if (best) showWay(way, best[2], data.requests[best[2]], best[3]);
    });
  }

  function showWay(box, system, w, i) {
    box.replaceChildren();
    const path = w.path[i], readers = { pe: [w.pe[i]], de: [w.de[i]], split: [w.pe[i], w.de[i]] }[path] ?? [];
    make("p", `${system}, request ${w.request[i]}: agent ${w.agent[i]}, turn ${w.turn[i]}, ${short(w.prompt_tokens[i])} prompt tokens, ` +
      `${short(w.hit_tokens[i])} of them hits, ${w.gen_tokens[i]} generated; ${w.pe[i]} prefills, ${w.de[i]} decodes, ` +
      (readers.length ? `read by ${readers.map((e) => e.split(".")[0]).join(" and ")}.` : "nothing read."), box);
    const start = w.submit_s[i], end = w.done_s[i] ?? w.first_s[i], strip = make("div", "", box, { class: "strip" });
    const list = make("p", "", box, { class: "legend" });
    let before = start;
    for (const [name, key, colour] of STAGES) {
      const at = w[key][i];
      if (at == null) continue;
      const part = make("span", "", strip, { title: `${name}: ${short(at - before)} s` });
      part.style.flexGrow = Math.max(at - before, 0);
      part.style.background = colour;
      make("span", `${name} ${short(at - before)} s`, list).style.setProperty("--colour", colour);
      before = at;
    }
    const nic = (engine) => { const [node, gpu] = engine.split("."); return [`${node}.cnic${gpu}`]; };
    lit([...readers.map((e) => `${e.split(".")[0]}.snic`), ...nic(w.pe[i]), ...nic(w.de[i])]);
    moveTo(system, w.read_start_s[i] ?? start + (end - start) / 2);
  }

  function clear() {
    for (const [id, made] of Object.entries(shown)) {
      made.forEach(({ plot }) => plot.destroy());
      delete shown[id];
    }
    renewFabric = null;
    for (const figure of document.querySelectorAll("figure.live")) {
      delete figure.dataset.shape;
      figure.querySelector("div").replaceChildren();
    }
  }

  function show() {
    for (const [name, chart] of Object.entries(data.charts)) {
      const figure = document.getElementById(`chart-${name}`);
      if (!figure || renewed(figure, chart)) continue;
      (shown[figure.id] ?? []).forEach(({ plot }) => plot.destroy());
      delete shown[figure.id];
      figure.querySelector("div").replaceChildren();
      showChart(figure, chart);
    }
    if (data.fabric && renewFabric) renewFabric(data.fabric);
    else if (data.fabric) showFabric(document.querySelector("#fabric > div"), data.fabric);
    const requests = document.getElementById("requests");
    if (data.requests && !renewed(requests, scattered(data.requests))) {
      (shown.requests ?? []).forEach(({ plot }) => plot.destroy());
      delete shown.requests;
      requests.querySelector("div").replaceChildren();
      showRequests(requests, requests.querySelector("div"), data.requests);
    }
  }

  function follow(address) {
    const status = document.getElementById("status"), events = new EventSource(address);
    events.onmessage = (event) => {
      data = JSON.parse(event.data);
      status.textContent = data.status;
      show();
      if (data.ended) events.close();
    };
    events.onerror = () => { status.textContent += " No connection to the run."; events.close(); };
  }

  show();
  dark.addEventListener("change", () => { clear(); show(); });
  let last = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === last) return;
    last = innerWidth;
    for (const { plot, place } of Object.values(shown).flat())
      plot.setSize({ width: place.clientWidth, height: plot.height });
  });
  if (document.body.dataset.events) follow(document.body.dataset.events);
})();
