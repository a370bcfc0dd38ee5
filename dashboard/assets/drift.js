// What is clicked on the drift page leads to an address of our own, and to no other.
(function () {
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.drift = {
    // A cell of the matrix leads to its day and check.
    open: function (click) {
      var path = of(click);
      var isOurs = typeof path === "string" && path.indexOf("/drift") === 0;
      var isHere = path === location.pathname + location.search;
      return isOurs && !isHere ? location.origin + path : window.dash_clientside.no_update;
    },
    // A point of the map opens its picture beside the page, where there is one.
    picture: function (click) {
      var path = of(click);
      if (typeof path === "string" && /^\/images\/\d+$/.test(path)) {
        window.open(path, "_blank", "noopener");
      }
      return window.dash_clientside.no_update;
    },
  };

  function of(click) {
    var point = click && click.points && click.points[0];
    return point && point.customdata;
  }
})();
