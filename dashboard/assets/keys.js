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

  // Points of charts that name a time of day (dashboard/parts/moment.py) get a line of their own.
  var ofHours = new Intl.DateTimeFormat(undefined, {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });

  function ownTime(begin_s, lasts_s) {
    var from = new Date(1000 * begin_s), to = new Date(1000 * (begin_s + lasts_s));
    if (!from.getTimezoneOffset() && !to.getTimezoneOffset()) { return null; }  // It says so already.
    return lasts_s ? ofHours.formatRange(from, to) : ofHours.format(from);
  }

  function tellChartLocally(event) {
    var chart = event.target.closest && event.target.closest(".js-plotly-plot");
    (chart && window.Plotly && chart.data || []).forEach(function (trace, number) {
      var when = trace.meta;
      if (!when || !when.begins_s || when.told) { return; }
      var texts = trace.hovertext.map(function (text, i) {
        var own = ownTime(when.begins_s[i], when.lasts_s);
        return own ? text.replace("<br>", "<br>" + own + "<br>") : text;
      });
      var done = Object.assign({told: true}, when);
      window.Plotly.restyle(chart, {hovertext: [texts], meta: [done]}, [number]);
    });
  }
  // Also while the pointer rests on a chart that is drawn anew. Plotly shows its text only later,
  // at the mouse event that follows.
  document.addEventListener("pointerover", tellChartLocally, true);
  document.addEventListener("pointermove", tellChartLocally, true);
})();
