// The charts, their legends, and the slider of sample grids.
(() => {
  const root = document.documentElement;
  const told = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

  const colour = (element, property) => getComputedStyle(element)[property];
  function paint(figures) {
    const ink = colour(document.body, "color");
    const rule = colour(document.querySelector("h2"), "borderBottomColor");
    for (const figure of figures) {
      for (const axis of [...figure.below, ...figure.left]) {
        axis.setv({ major_label_text_color: ink, axis_line_color: rule, major_tick_line_color: rule,
          minor_tick_line_color: null });
      }
      for (const grid of figure.center) {
        if ("grid_line_color" in grid) grid.grid_line_color = rule;
      }
    }
  }

  async function draw({ document: json, places }) {
    const items = [{ docid: "charts", roots: places, root_ids: Object.keys(places) }];
    await Bokeh.embed.embed_items({ charts: json }, items);
    const figures = Bokeh.documents.at(-1).roots();
    paint(figures);
    root.addEventListener("theme", () => paint(figures));
    if (matchMedia("(pointer: coarse)").matches) {
      // A finger that moves over a chart scrolls the page, until a tool is chosen.
      for (const figure of figures) figure.toolbar.gestures.pan.active = null;
    }
    document.addEventListener("change", ({ target }) => {
      const key = target.dataset?.line;
      if (key === undefined) return;
      for (const figure of figures) {
        for (const part of figure.renderers) {
          if (part.tags.includes(key)) part.visible = target.checked;
        }
      }
    });
    root.dataset.drawn = "";
  }

  function slide(steps) {
    const slider = document.getElementById("step");
    if (slider === null) return;
    const show = () => {
      const step = steps[slider.value];
      slider.nextElementSibling.nextElementSibling.textContent = `step ${step}`;
      for (const film of document.querySelectorAll("[data-film]")) {
        const grids = [...film.querySelectorAll("img")];
        const now = grids.findLast((grid) => Number(grid.dataset.step) <= step) ?? grids[0];
        for (const grid of grids) grid.hidden = grid !== now;
        film.querySelector("[data-at]").textContent = `step ${now.dataset.step}`;
      }
    };
    slider.addEventListener("input", show);
    for (const button of document.querySelectorAll("[data-by]")) {
      button.addEventListener("click", () => {
        slider.value = Number(slider.value) + Number(button.dataset.by);
        show();
      });
    }
    show();
  }

  slide(told("steps"));
  const charts = told("charts");
  if (charts !== null) draw(charts);
})();
