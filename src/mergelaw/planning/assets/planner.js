/** The page at work: the reader's choices to answers, drawings, tables and files. */
(() => {
  "use strict";

  /** @param {string} id @returns {any} */
  const $ = (id) => document.getElementById(id);
  const file = JSON.parse($("laws").textContent);
  const slug = file.name.replace(/[^\w.-]+/g, "-");
  const { OTHER } = Controls;

  /** How long screen readers wait for the reader to pause, in milliseconds. */
  const PAUSE = 400;

  /** @type {State} */
  let state = settled(State.fromHash(location.hash, file));
  let pause = 0;

  const table = (id, name, caption, columns, choose) =>
    Tables.table($(id), `${slug}-${name}`, caption, columns, choose);
  const curveTable = table("curve-table", "curve", "The curve by number of experts", Rows.CURVE);
  const budgetTable = table(
    "budget-table", "budget", "Sizes and experts with their costs", Rows.BUDGET, choose,
  );
  const baselinesTable = table(
    "baselines-table", "baselines", "Models that are no merges, and the best merge", Rows.BASELINES,
  );
  const lawsTable = table(
    "laws-table", "laws", "Every law of the file", Rows.laws(file.pool), choose,
  );

  /** Names that the file lacks, or does not have together, give way to ones that it has. */
  function settled(state) {
    const first = (values, wanted) => (values.includes(wanted) ? wanted : values[0]);
    state.method = first(file.laws.map((law) => law.method), state.method);
    const laws = file.laws.filter((law) => law.method === state.method);
    state.domain = first(laws.map((law) => law.domain), state.domain);
    const law = Finding.lawOf(file, state.method, state.domain);
    const sizes = law.curves.map((curve) => curve.size);
    const offLadder = state.size === OTHER && Finding.curveAt(file, law, 1) !== null;
    if (!offLadder) state.size = first([...sizes].reverse(), state.size);
    else state.n ??= middle();
    return state;
  }

  /** @returns {number} An N between the sizes, to begin with. */
  function middle() {
    const ns = Controls.knownN(file);
    if (!ns.length) return 1;
    return Number(Math.sqrt(Math.min(...ns) * Math.max(...ns)).toPrecision(3));
  }

  /** Targets that nobody has chosen yet, from the curve. */
  function fillTargets({ loss, floor }) {
    const round = (value) => Number(value.toPrecision(4));
    const at = Answers.kOfReturn(loss, state.return) || Math.ceil(loss.length / 2);
    state.loss ??= round(loss[at - 1] * 1.0005);
    const left = loss[loss.length - 1] - floor;
    state.gap ??= round(left > 0 ? left * 1.2 : 0.01);
  }

  /** The law chosen, its curve and size, and its plan. */
  function current() {
    const law = Finding.lawOf(file, state.method, state.domain);
    const own = state.size === OTHER;
    const curve = own ? Finding.curveAt(file, law, state.n) : Finding.curveOf(law, state.size);
    fillTargets(curve);
    const asked = Plan.question(state, file);
    const plan = Plan.lawPlan(file, law, own ? state.n : null, asked);
    const size = Finding.sizeOf(file, curve.size) ?? {
      name: curve.size, n_params_billions: state.n, costs: null,
    };
    return { law, curve, size, plan, prices: asked.prices };
  }

  function show() {
    const now = current();
    Controls.show(file, state, now.law, now.curve);
    showAnswer(now);
    showBudget(now);
    lawsTable.fill(Rows.ofLaws(file, state));
  }

  function showAnswer({ law, curve, size, plan, prices }) {
    const here = plan.sizes.find((one) => one.size === curve.size);
    const experts = Sayings.experts(state, here, curve);
    const stop = Sayings.stop(here, curve.loss.length);
    const cost = Sayings.cost(file, law, size, prices, experts.k ?? curve.loss.length);
    const best = Sayings.best(state, plan.bought, prices);
    for (const [id, { big, why }] of Object.entries({ experts, stop, cost, best })) {
      $(id).textContent = big;
      $(`${id}-why`).textContent = why;
    }
    const items = Sayings.remarks(curve).map((textContent) => Tables.element("li", { textContent }));
    $("remarks").replaceChildren(...items);
    $("command").textContent = Sayings.command(file, state, $("laws").dataset.law);
    $("bar").textContent = `Experts needed: ${experts.big}`;
    speak(
      `Experts needed: ${experts.big}. Stop: ${stop.big}. Cost: ${cost.big}. ` +
        `Best within the budget: ${best.big}.`,
    );
    showCurve(law, curve, here, experts, cost.of);
    showBaselines(plan, here);
  }

  function showCurve(law, curve, here, experts, costOf) {
    const { loss } = curve;
    const label =
      `The law of ${law.method} on ${law.domain} at ${curve.size}: loss ${Words.loss(loss[0])} ` +
      `at k = 1, ${Words.loss(loss[loss.length - 1])} at k = ${loss.length}. ` +
      `Experts needed: ${experts.big}.`;
    $("curve-caption").textContent = Sayings.caption(curve);
    Charts.curve(curve, experts.loss, experts.k, label);
    curveTable.fill(Rows.ofCurve(curve, here, experts.k, experts.loss, costOf));
  }

  function showBudget({ plan: { bought }, prices }) {
    const any = bought.choices.length > 0;
    $("budget-none").hidden = any;
    $("budget-figure").hidden = !any;
    $("budget-table").hidden = !any;
    $("budget-none").textContent = `No cost can be told: ${bought.notes.join("; ")}.`;
    if (!any) return;
    const label =
      `Loss against cost in ${prices.currency} of ${bought.choices.length} sizes and numbers of ` +
      `experts; ${bought.front.length} of them are on the Pareto front.`;
    Charts.pareto(bought.choices, bought.best, state.budget, prices.currency, label);
    budgetTable.fill(Rows.ofBudget(bought, state.budget));
  }

  function showBaselines(plan, here) {
    const rows = Rows.ofBaselines(file, plan, here.size);
    $("baselines-table").hidden = rows.length === 0;
    baselinesTable.fill(rows);
    $("baselines-words").textContent = here.multitask
      ? Words.sentence(here.multitask.reason)
      : "Neither loss nor cost of multitask training is known at this size.";
  }

  /** Tell screen readers the answer once the reader pauses. */
  function speak(words) {
    clearTimeout(pause);
    pause = window.setTimeout(() => {
      $("spoken").textContent = words;
    }, PAUSE);
  }

  /** Show what the state says, and keep it in the address. */
  function update() {
    settled(state);
    show();
    history.replaceState(null, "", `#${State.toHash(state, file)}`);
  }

  /** Take the law of a table's row. */
  function choose(row) {
    for (const key of ["method", "domain"]) state[key] = row[key] ?? state[key];
    state.size = Finding.sizeOf(file, row.size) ? row.size : OTHER;
    update();
    toAnswer();
  }

  function toAnswer() {
    $("answer").focus({ preventScroll: true });
    $("answer").scrollIntoView({ block: "start" });
  }

  async function copyLink() {
    const button = $("link");
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy this page's address";
    }
    setTimeout(() => (button.textContent = "Copy a link to this view"), 2500);
  }

  /** Let a button give a file. */
  function gives(id, name, type, make) {
    $(id).addEventListener("click", () => Tables.download(name, type, make()));
  }

  function startAgain(next) {
    state = settled(next);
    Controls.forgetAll();
  }

  function connect() {
    const form = $("controls");
    const pretty = (value) => `${JSON.stringify(value, null, 2)}\n`;
    form.addEventListener("input", ({ target }) => {
      Controls.read(file, state, target);
      update();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault(); // the state fills the fields
      startAgain(State.initial(file));
      update();
    });
    window.addEventListener("hashchange", () => {
      startAgain(State.fromHash(location.hash, file));
      show();
    });
    for (const link of document.querySelectorAll(".to-answer")) {
      link.addEventListener("click", (event) => {
        event.preventDefault(); // the address holds the state
        toAnswer();
      });
    }
    $("link").addEventListener("click", copyLink);
    const seen = ([entry]) => $("bar").classList.toggle("away", entry.isIntersecting);
    new IntersectionObserver(seen).observe($("experts"));
    gives("json", `${slug}-laws.json`, "application/json", () => $("laws").textContent);
    gives("plan", `${slug}-plan.json`, "application/json", () => pretty(current().plan));
    gives("prices-file", "prices.yaml", "application/yaml", () => pretty(State.prices(state, file)));
    Theme.connect($("theme"), show);
  }

  Controls.makePrices(file);
  connect();
  show();
  performance.mark("answered");
  document.documentElement.dataset.ready = "yes";
})();
