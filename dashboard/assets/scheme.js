// Sets the colour scheme before the first paint; Mantine reads the same key once it has loaded.
(function () {
  var kept = "auto";
  try { kept = localStorage.getItem("mantine-color-scheme-value") || "auto"; } catch (error) { /* no storage */ }
  var dark = kept === "dark" || (kept === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
  // Tables of AG Grid know a scheme by this name only, and follow when the other is switched.
  var root = document.documentElement;
  function tell() { root.setAttribute("data-ag-theme-mode", root.getAttribute("data-mantine-color-scheme")); }
  new MutationObserver(tell).observe(root, { attributeFilter: ["data-mantine-color-scheme"] });
  tell();
})();
