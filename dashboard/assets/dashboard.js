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
    find: function (path) {
      return ours(path);
    },
  };

  function ours(path) {
    var isOurs = typeof path === "string" && path.indexOf("/class/") === 0;
    return isOurs ? path : window.dash_clientside.no_update;
  }

  // When the server stays silent, the page says so instead of looking fresh.
  function mark() {
    var stale = document.getElementById("stale");
    if (!stale) { return; }
    var patience = 1000 * Number(stale.dataset.patience || 60);
    stale.classList.toggle("stale-shown", Date.now() - heardAt > patience);
  }
  setInterval(mark, 2000);
})();
