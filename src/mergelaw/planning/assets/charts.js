/** The two drawings, by Chart.js: loss against k, and loss against cost. */
const Charts = (() => {
  "use strict";

  const drawn = new Map();

  /** @returns {(name: string) => string} The page's colours, as light or dark as it is now. */
  function colors() {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  }

  /** Draw on a canvas, or draw again what is there. */
  function show(id, config, label) {
    const canvas = document.getElementById(id);
    canvas.setAttribute("aria-label", label);
    const chart = drawn.get(id);
    if (!chart) {
      drawn.set(id, new Chart(canvas, config));
      return;
    }
    Object.assign(chart, { options: config.options });
    chart.data = config.data;
    chart.update("none");
  }

  function axis(color, title, more = {}) {
    return {
      title: { display: true, text: title, color: color("ink"), font: { size: 13 } },
      ticks: { color: color("muted"), font: { size: 12 } },
      grid: { color: color("line") },
      border: { color: color("edge") },
      ...more,
    };
  }

  function options(color, scales, tooltip, legend) {
    return {
      animation: false,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      layout: { padding: { right: 12 } },
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales,
      plugins: {
        legend: {
          position: "bottom",
          labels: { color: color("ink"), usePointStyle: true, boxHeight: 7, ...legend },
        },
        tooltip,
      },
    };
  }

  const line = (label, data, color, more = {}) => ({
    type: "line", label, data, borderColor: color, backgroundColor: color, borderWidth: 2,
    pointRadius: 0, pointHoverRadius: 0, pointStyle: "line", ...more,
  });

  const dots = (label, data, color, more = {}) => ({
    type: "scatter", label, data, borderColor: color, backgroundColor: color, pointRadius: 4,
    pointHoverRadius: 6, clip: 14, ...more,
  });

  /** @returns {object[]} A level line over all k. */
  const level = (size, y) => [{ x: 1, y }, { x: Math.max(size, 2), y }];

  /** The band's edges; Chart.js fills between a line and the one before it. */
  function band(curve, color) {
    const ends = Answers.pool(curve).map((k) => ({ x: k, ...Answers.interval(curve, k) }));
    const known = ends.filter(({ low }) => low !== null);
    if (!known.length) return [];
    const edge = { borderWidth: 0, backgroundColor: color("law-band"), pointStyle: "rect" };
    return [
      line("upper end", known.map(({ x, high }) => ({ x, y: high })), color("law-band"), edge),
      line("95% band", known.map(({ x, low }) => ({ x, y: low })), color("law-band"), {
        ...edge,
        fill: "-1",
      }),
    ];
  }

  /** The most that a law's parameters may miss its losses by, as a share of the curve's height. */
  const MISS = 0.005;

  /** Points of the line between one whole k and the next. */
  const STEPS = 12;

  /** The law, between whole k too where its floor, tail and offset give its losses. */
  function smooth({ loss, floor, tail, offset }) {
    const whole = loss.map((y, i) => ({ x: i + 1, y }));
    const at = (x) => floor + tail / (x + offset);
    const height = Math.max(...loss) - Math.min(...loss);
    if (whole.some(({ x, y }) => !(Math.abs(at(x) - y) <= MISS * height))) return whole;
    return whole.slice(0, -1).flatMap((point) => [
      point,
      ...Array.from({ length: STEPS - 1 }, (_, i) => point.x + (i + 1) / STEPS).map((x) => ({ x, y: at(x) })),
    ]).concat(whole.slice(-1));
  }

  /**
   * Draw loss against k.
   *
   * @param {Curve} curve
   * @param {number|null} target
   * @param {number|null} k Experts that the answer names.
   * @param {string} label For screen readers.
   */
  function curve(curve, target, k, label) {
    const color = colors();
    const size = curve.loss.length;
    const measured = Answers.pool(curve)
      .map((at) => ({ x: at, y: Answers.measuredOf(curve, at) }))
      .filter(({ y }) => y !== null);
    /** @type {object[]} */
    const sets = [...band(curve, color), line("law", smooth(curve), color("law"))];
    if (measured.length) sets.push(dots("measured", measured, color("ink")));
    if (curve.identified) {
      sets.push(line("floor", level(size, curve.floor), color("floor"), { borderDash: [5, 4] }));
    }
    if (target !== null) {
      sets.push(line("target", level(size, target), color("target"), { borderDash: [10, 4] }));
    }
    if (k !== null && k <= size) {
      const at = [{ x: k, y: curve.loss[k - 1] }];
      const ring = { pointRadius: 9, pointHoverRadius: 9, borderWidth: 3, backgroundColor: "transparent" };
      sets.push(dots("experts needed", at, color("pick"), ring));
    }
    const scales = {
      x: axis(color, "k, merged experts", {
        type: "linear", min: 1, max: Math.max(size, 2), offset: false,
        ticks: { color: color("muted"), stepSize: Math.max(1, Math.ceil(size / 16)), precision: 0 },
      }),
      y: axis(color, "loss, nats per token", { type: "linear", grace: "4%" }),
    };
    const tooltip = {
      filter: ({ dataset, parsed }) =>
        !["floor", "target"].includes(dataset.label) && Number.isInteger(parsed.x),
      callbacks: {
        title: (items) => (items.length ? Words.experts(items[0].parsed.x) : ""),
        label: ({ dataset, parsed }) => `${dataset.label === "95% band" ? "lower end" : dataset.label}: ${Words.loss(parsed.y)}`,
      },
    };
    const legend = { filter: ({ text }) => text !== "upper end" };
    show("curve", { data: { datasets: sets }, options: options(color, scales, tooltip, legend) }, label);
  }

  /** The colour of a size: darker, on dark pages lighter, the larger it is. */
  function sizeColor(color, index, count) {
    return color(`s${count < 2 ? 3 : Math.round((6 * index) / (count - 1))}`);
  }

  const STYLES = ["circle", "rect", "triangle", "rectRot", "star", "crossRot", "cross"];

  /**
   * Draw loss against cost.
   *
   * @param {Choice[]} choices
   * @param {Choice|null} best
   * @param {number|null} budget
   * @param {string} unit Of costs.
   * @param {string} label For screen readers.
   */
  function pareto(choices, best, budget, unit, label) {
    const color = colors();
    const point = (choice) => ({ x: choice.cost, y: choice.loss, choice });
    const byN = [...choices].sort((a, b) => (a.n_params_billions ?? 0) - (b.n_params_billions ?? 0));
    const names = [...new Set(byN.map(({ size }) => size))];
    const front = Budget.front(choices);
    /** @type {object[]} */
    const sets = [
      line("Pareto front", front.map(point), color("edge"), { stepped: "before", pointStyle: "line", order: 9 }),
      ...names.map((name, i) =>
        dots(name, choices.filter(({ size }) => size === name).map(point), sizeColor(color, i, names.length), {
          pointStyle: STYLES[i % STYLES.length],
        }),
      ),
    ];
    const losses = choices.map(({ loss }) => loss);
    if (budget !== null) {
      const ends = [Math.min(...losses), Math.max(...losses)].map((y) => ({ x: budget, y }));
      sets.push(line("budget", ends, color("target"), { borderDash: [10, 4] }));
    }
    if (best) {
      const ring = { pointRadius: 10, pointHoverRadius: 10, borderWidth: 3, backgroundColor: "transparent" };
      sets.push(dots("best within it", [point(best)], color("pick"), ring));
    }
    const costs = choices.map(({ cost }) => cost);
    const wide = Math.min(...costs) > 0 && Math.max(...costs) > 20 * Math.min(...costs);
    const scales = {
      x: axis(color, `cost, ${unit}`, {
        type: wide ? "logarithmic" : "linear",
        ticks: { color: color("muted"), maxTicksLimit: 8, callback: (value) => Words.digits(value) },
      }),
      y: axis(color, "loss, nats per token", { type: "linear", grace: "4%" }),
    };
    const tooltip = {
      filter: ({ raw, dataset }) => raw.choice && dataset.label !== "Pareto front",
      callbacks: {
        title: () => "",
        label: ({ raw: { choice } }) =>
          `${choice.size}, ${Words.experts(choice.k)}: loss ${Words.loss(choice.loss)}, ` +
          `${Words.cost(choice.cost)} ${unit}`,
      },
    };
    const made = options(color, scales, tooltip, {});
    made.interaction = { mode: "nearest", axis: "xy", intersect: false };
    show("pareto", { data: { datasets: sets }, options: made }, label);
  }

  return { curve, pareto };
})();
