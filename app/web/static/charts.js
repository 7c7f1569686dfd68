// Two SVG charts by day: stacked bars and lines. A table shows the same data.
const SVG = "http://www.w3.org/2000/svg";
const LEAST_WIDTH = 300;
const LABEL_WIDTH = 70;
const HEIGHT = 260;
const LEFT = 56;
const BOTTOM = 28;
const TOP = 12;
const LINES = 4;

function add(parent, name, attributes = {}, text) {
  const made = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Step of the grid: the smallest of 1, 2, 5, 10, 20, 50, ... that is at least value / LINES. */
function step(value) {
  const wanted = Math.max(value, 1) / LINES;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= wanted));
}

/** An empty chart with its grid. at(day) and up(value) convert to x and y in pixels. */
function ground(where, label, days, highest) {
  const svg = document.createElementNS(SVG, "svg");
  const width = Math.max(LEAST_WIDTH, where.clientWidth); // one unit is one pixel, so that text stays readable
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const wide = (width - LEFT) / days.length;
  const between = step(highest);
  const top = between * Math.max(1, Math.ceil(highest / between));
  const up = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  for (let value = 0; value <= top; value += between) {
    add(svg, "line", { x1: LEFT, x2: width, y1: up(value), y2: up(value), class: "grid-line" });
    add(svg, "text", { x: LEFT - 8, y: up(value) + 4, "text-anchor": "end" }, value);
  }
  const every = Math.ceil((days.length * LABEL_WIDTH) / (width - LEFT));
  days.forEach((day, index) => {
    if (index % every) return;
    add(svg, "text", { x: LEFT + wide * (index + 0.5), y: HEIGHT - 8, "text-anchor": "middle" }, day.slice(5));
  });
  where.replaceChildren(svg);
  return { svg, wide, up, at: (index) => LEFT + wide * index };
}

/** series: [{name, values}] in stacking order. say(index): tooltip of a day. */
export function bars(where, label, days, series, say) {
  const sums = days.map((_, index) => series.reduce((sum, { values }) => sum + values[index], 0));
  const { svg, wide, up, at } = ground(where, label, days, Math.max(0, ...sums));
  days.forEach((_, index) => {
    const group = add(svg, "g", { class: "day" });
    add(group, "title", {}, say(index));
    add(group, "rect", { x: at(index), y: TOP, width: wide, height: HEIGHT - BOTTOM - TOP, class: "touch" });
    let below = 0;
    for (const { name, values } of series) {
      const low = up(below);
      below += values[index];
      const high = up(below);
      if (values[index]) add(group, "rect", { x: at(index) + wide * 0.15, width: wide * 0.7, y: high, height: low - high, class: `series-${name}` });
    }
  });
}

/** Days without a value (null) interrupt the line. */
export function lines(where, label, days, series, say) {
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const { svg, wide, up, at } = ground(where, label, days, Math.max(0, ...known));
  for (const { name, values } of series) {
    const points = values.map((value, index) => (value === null ? null : [at(index) + wide / 2, up(value)]));
    const parts = [[]];
    for (const point of points) {
      if (point) parts.at(-1).push(point);
      else parts.push([]);
    }
    for (const part of parts) if (part.length > 1) add(svg, "polyline", { points: part.join(" "), class: `series-${name}` });
    for (const [x, y] of points.filter(Boolean)) add(svg, "circle", { cx: x, cy: y, r: 3.5, class: `series-${name}` });
  }
  days.forEach((_, index) => {
    const group = add(svg, "g", { class: "day" });
    add(group, "title", {}, say(index));
    add(group, "rect", { x: at(index), y: TOP, width: wide, height: HEIGHT - BOTTOM - TOP, class: "touch" });
  });
}
