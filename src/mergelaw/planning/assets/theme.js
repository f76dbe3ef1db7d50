/** Light or dark: as the system says until the reader chooses; set before anything is painted. */
const Theme = (() => {
  "use strict";

  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = false;

  const isDark = () => root.dataset.theme === "dark";

  function set(dark) {
    root.dataset.theme = dark ? "dark" : "light";
  }

  /** Let a button change it, and the system as long as nobody pressed the button. */
  function connect(button, changed) {
    const tell = () => {
      button.setAttribute("aria-pressed", `${isDark()}`);
      changed();
    };
    button.addEventListener("click", () => {
      chosen = true;
      set(!isDark());
      tell();
    });
    system.addEventListener("change", () => {
      if (!chosen) set(system.matches);
      tell();
    });
    button.setAttribute("aria-pressed", `${isDark()}`);
  }

  set(system.matches);
  return { connect };
})();
