/**
 * Tables that are sorted by their heads and given as CSV.
 *
 * @typedef {object} Column
 * @property {string} key The row's property, and the head in CSV.
 * @property {string} title
 * @property {(value: any, row: object) => string} show
 * @property {boolean} [words] Text, not a number.
 */
const Tables = (() => {
  "use strict";

  /** @returns {HTMLElement} */
  function element(tag, properties = {}, children = []) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  /** Order of two values of a column; what is not known comes last in both directions. */
  function compare(a, b, direction) {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    if (typeof a === "string") return direction * a.localeCompare(b, "en", { numeric: true });
    return direction * (a - b);
  }

  /** A name that a spreadsheet would take for a formula begins with an apostrophe in CSV. */
  const harmless = (value) =>
    typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : `${value}`;

  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  const field = (value) => (value === null || value === undefined ? "" : quoted(harmless(value)));

  /** @returns {string} All rows with every digit, in the order shown. */
  function csv(columns, rows) {
    const lines = rows.map((row) => columns.map(({ key }) => field(row[key])).join(","));
    return [columns.map(({ key }) => key).join(","), ...lines, ""].join("\n");
  }

  /** Hand a file to the browser's downloads; nothing leaves the machine. */
  function download(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const anchor = element("a", { href: url, download: name });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  /**
   * Build a table inside `place`.
   *
   * @param {HTMLElement} place
   * @param {string} name Of the CSV file.
   * @param {string} caption
   * @param {Column[]} columns
   * @param {(row: object) => void} [choose] What a press on a row's first cell does.
   * @returns {{fill: (rows: object[]) => void}} `fill` keeps the order that was chosen; a row with
   *   `chosen` true stands out.
   */
  function table(place, name, caption, columns, choose) {
    const state = { key: null, direction: 1, rows: [] };
    const count = element("p");
    const save = element("button", { type: "button", textContent: "Download as CSV" });
    save.id = `${place.id}-csv`;
    save.setAttribute("aria-label", `Download as CSV: ${caption}`);
    const body = element("tbody");
    const heads = columns.map((column) => head(column, () => sort(column)));
    const grid = element("table", {}, [
      element("caption", { textContent: caption }),
      element("thead", {}, [element("tr", {}, heads)]),
      body,
    ]);
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, [grid]);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Table: ${caption}`);
    place.replaceChildren(element("div", { className: "over" }, [count, save]), scroll);
    save.addEventListener("click", () => download(`${name}.csv`, "text/csv", csv(columns, sorted())));

    function sorted() {
      const { key, direction, rows } = state;
      if (key === null) return rows;
      return [...rows].sort((a, b) => compare(a[key] ?? null, b[key] ?? null, direction));
    }

    function sort({ key }) {
      state.direction = state.key === key ? -state.direction : 1;
      state.key = key;
      columns.forEach((column, i) => {
        if (column.key !== key) heads[i].removeAttribute("aria-sort");
        else heads[i].setAttribute("aria-sort", state.direction > 0 ? "ascending" : "descending");
      });
      draw();
    }

    /** Columns of which nothing is known are not shown; in CSV they are. */
    function hideEmpty() {
      columns.forEach(({ key }, i) => {
        const empty = state.rows.every((row) => (row[key] ?? null) === null);
        for (const cell of grid.querySelectorAll(`tr > :nth-child(${i + 1})`)) {
          cell.toggleAttribute("hidden", empty);
        }
      });
    }

    function draw() {
      body.replaceChildren(...sorted().map((row) => line(columns, row, choose)));
      count.textContent = `${caption}. ${state.rows.length} row${state.rows.length === 1 ? "" : "s"}; a press on a head sorts.`;
      hideEmpty();
    }

    return {
      fill(rows) {
        state.rows = rows;
        draw();
      },
    };
  }

  /** @param {Column} column @param {() => void} sort */
  function head({ title, words }, sort) {
    const button = element("button", { type: "button", textContent: title });
    button.addEventListener("click", sort);
    const cell = element("th", { scope: "col", className: words ? "words" : "" }, [button]);
    return cell;
  }

  function line(columns, row, choose) {
    const cells = columns.map(({ key, show, words }, i) => {
      const shown = show(row[key] ?? null, row);
      if (i > 0) return element("td", { textContent: shown, className: words ? "words" : "" });
      const first = element("th", { scope: "row", textContent: choose ? "" : shown });
      if (choose) first.append(chooser(shown, row, choose));
      return first;
    });
    const made = element("tr", { className: row.chosen ? "chosen" : "" }, cells);
    if (row.chosen) made.setAttribute("aria-current", "true");
    return made;
  }

  function chooser(shown, row, choose) {
    const button = element("button", { type: "button", textContent: shown });
    button.setAttribute("aria-label", `Choose ${row.label ?? shown}`);
    button.addEventListener("click", () => choose(row));
    return button;
  }

  return { csv, download, element, table };
})();
