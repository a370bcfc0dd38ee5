// Keys that work on every page, the list of them, and moments in the reader's own time.
(function () {
  var chord = 0;

  function isTyping(target) {
    return target.closest && target.closest("input, textarea, select, [contenteditable], [role=textbox]");
  }

  function help() { return document.getElementById("help"); }

  function open() {
    var dialog = help();
    if (dialog && !dialog.open) { dialog.showModal(); }  // Closing gives the focus back by itself.
  }

  function goTo(letter) {
    var link = document.querySelector('.nav-link [data-letter="' + CSS.escape(letter) + '"]');
    if (link) { link.click(); }
    return Boolean(link);
  }

  document.addEventListener("keydown", function (event) {
    var dialog = help();
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) { return; }
    if (isTyping(event.target) || (dialog && dialog.open)) { return; }
    var isSecond = Date.now() - chord < 1200;
    chord = 0;
    if (isSecond && goTo(event.key)) { event.preventDefault(); event.stopPropagation(); return; }
    if (event.key === "/") { event.preventDefault(); window.weakspotFinder.open(); }
    else if (event.key === "?") { event.preventDefault(); open(); }
    else if (event.key === "g") { chord = Date.now(); }
  }, true);

  document.addEventListener("click", function (event) {
    var dialog = help();
    if (!dialog || !event.target.closest) { return; }
    if (event.target.closest("#help-open")) { open(); }
    else if (event.target.closest("#help-close") || event.target === dialog) { dialog.close(); }
  });

  function tellLocally(event) {
    var time = event.target.closest && event.target.closest("time[data-utc]");
    if (!time) { return; }
    var at = new Date(time.dateTime);
    if (isNaN(at)) { return; }
    time.title = at.toLocaleString(undefined, {
      weekday: "short", day: "numeric", month: "short", year: "numeric",
      hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
    });
  }
  document.addEventListener("pointerover", tellLocally);
  document.addEventListener("focusin", tellLocally);
})();
