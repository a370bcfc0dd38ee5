// Sets the colour scheme before the first paint; Mantine reads the same key once it has loaded.
(function () {
  var kept = "auto";
  try { kept = localStorage.getItem("mantine-color-scheme-value") || "auto"; } catch (error) { /* no storage */ }
  var dark = kept === "dark" || (kept === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
