// The few things that happen in the browser alone.
(function () {
  var heardAt = Date.now();

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.weakspot = {
    setTitle: function (title) {
      document.title = title ? title + " · Weakspot" : "Weakspot";
      return title || "";
    },
    heard: function () {
      heardAt = Date.now();
      mark();
      return "en";
    },
    // A click on a cell of the matrix opens its class. Only addresses of our own are followed.
    open: function (click) {
      var point = click && click.points && click.points[0];
      return ours(point && point.customdata);
    },
    // A choice leads to its address. A field that only shows what it was drawn with leads nowhere.
    pick: function (chosen, shown) {
      for (var i = 0; i < chosen.length; i++) {
        var isOurs = typeof chosen[i] === "string" && /^\/(?!\/)/.test(chosen[i]);
        if (isOurs && chosen[i] !== shown[i]) { return location.origin + chosen[i]; }
      }
      return window.dash_clientside.no_update;
    },
    setCurrent: function (path) {
      setTimeout(runEarly, 0);  // The page has been asked for by then.
      document.querySelectorAll(".nav-link").forEach(function (link) {
        var isCurrent = link.getAttribute("href") === path;
        if (isCurrent) { link.setAttribute("aria-current", "page"); }
        else { link.removeAttribute("aria-current"); }
      });
      return "";
    },
  };

  // What has come early (dashboard/index.py) is run while the server draws the first page. Dash and
  // its parts ask for what is not there yet, and find what is or what comes under the same names.
  function runEarly() {
    document.querySelectorAll("link[rel=preload][as=script]").forEach(function (link) {
      var script = document.createElement("script");
      script.src = link.getAttribute("href");
      if (link.id === "charts-library" && !window.Plotly) {
        window.Plotly = new Promise(function (resolve, reject) {
          script.onload = resolve;
          script.onerror = function (event) { delete window.Plotly; reject(event); };
        });
      }
      link.remove();
      document.body.append(script);
    });
  }

  function ours(path) {
    var isOurs = typeof path === "string" && path.indexOf("/class/") === 0;
    return isOurs ? path : window.dash_clientside.no_update;
  }

  // A button that asks first does nothing when the answer is no.
  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("button[data-confirm]");
    if (button && !window.confirm(button.dataset.confirm)) {
      event.stopImmediatePropagation();
      event.preventDefault();
    }
  }, true);

  // A chart as a picture: what is drawn, on the page's own ground and in the page's colour of text.
  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest(".chart-png[data-chart]");
    var place = button && document.getElementById(button.dataset.chart);
    var drawn = place && place.querySelector(".js-plotly-plot");
    if (!drawn || !window.Plotly) { return; }
    var looks = getComputedStyle(document.documentElement);
    var paper = looks.getPropertyValue("--paper").trim(), text = looks.getPropertyValue("--text").trim();
    var layout = Object.assign({}, drawn.layout, {
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      width: drawn.clientWidth,
      height: drawn.clientHeight,
      font: Object.assign({}, drawn.layout.font, { color: text, family: "sans-serif" }),
    });
    window.Plotly.downloadImage({ data: drawn.data, layout: layout }, {
      format: "png", scale: 2, width: drawn.clientWidth, height: drawn.clientHeight,
      filename: "weakspot-" + button.dataset.chart,
    });
  });

  // When the server stays silent, the page says so instead of looking fresh.
  function mark() {
    var stale = document.getElementById("stale");
    // A hidden tab asks for nothing; it hears of news as soon as it is seen again.
    if (!stale || document.hidden) { return; }
    var patience = 1000 * Number(stale.dataset.patience || 60);
    stale.classList.toggle("stale-shown", Date.now() - heardAt > patience);
  }
  setInterval(mark, 2000);

  document.addEventListener("visibilitychange", function () {
    var changed = { disabled: document.hidden };
    if (!document.hidden) { changed.n_intervals = Math.floor(Date.now() / 1000); }
    window.dash_clientside.set_props("tick", changed);
  });
})();
