// Before the first paint, so that no page flashes in the other theme: the reader's choice, else the system's.
(() => {
  const stored = localStorage.getItem("agentbridge.theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = localStorage.getItem("agentbridge.theme");
    document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
  };
  document.documentElement.dataset.theme = stored ?? (dark.matches ? "dark" : "light");
  dark.addEventListener("change", apply);
})();
