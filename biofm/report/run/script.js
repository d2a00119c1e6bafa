// What a chart says where one points: a line across it, and the values of its series there. The page is whole
// without it.
"use strict";

for (const svg of document.querySelectorAll("svg[data-points]")) {
  const chart = JSON.parse(svg.dataset.points);
  const series = chart.series.filter((one) => one.points.length > 0);
  if (series.length === 0) continue;

  const line = document.createElementNS(svg.namespaceURI, "line");
  line.setAttribute("class", "crosshair");
  line.setAttribute("y1", chart.top);
  line.setAttribute("y2", chart.bottom);
  const dots = series.map((one) => {
    const dot = document.createElementNS(svg.namespaceURI, "circle");
    dot.setAttribute("class", one.colour);
    dot.setAttribute("fill", "currentColor");
    dot.setAttribute("r", 3);
    return dot;
  });
  const tip = document.createElement("div");
  tip.className = "tip";

  const nearest = (points, x) =>
    points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));

  const hide = () => [line, ...dots, tip].forEach((part) => part.remove());

  const show = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const pointed = (event.clientX - box.left) * scale;
    const found = series.map((one) => nearest(one.points, pointed));
    const [x, , where] = nearest(found, pointed);
    const there = found.map((point) => point[2] === where || found.length === 1);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    svg.append(line);
    tip.replaceChildren(row("p", "", `${chart.x} ${where}`));
    series.forEach((one, i) => {
      dots[i].remove();
      const [px, py, at, value] = found[i];
      dots[i].setAttribute("cx", px);
      dots[i].setAttribute("cy", py);
      svg.append(dots[i]);
      tip.append(row("div", one.colour, `${one.name} ${value}${there[i] ? "" : ` (at ${at})`}`));
    });
    svg.parentElement.append(tip);
    const left = x / scale;
    const isRight = left > box.width / 2;
    tip.style.left = isRight ? "auto" : `${left + 12}px`;
    tip.style.right = isRight ? `${box.width - left + 12}px` : "auto";
  };

  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", hide);
}

function row(kind, colour, text) {
  const element = document.createElement(kind);
  element.className = colour;
  element.textContent = text;
  return element;
}
