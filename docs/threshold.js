// The page "Try a threshold on these X-rays". It reads the stored probabilities that lie in the page.
const part = id => document.getElementById(id);
const rows = part("predictions").textContent.trim().split("\n").map(line => line.split(","));
const FIRST = 0.5; // images change sides against this threshold
const PICTURES = 4; // thumbnails.webp holds every fourth image

function imagesOf(model) {
  const own = rows.filter(row => row[0] === model);
  return own.map((row, place) => ({ place, ill: row[4] === "1", probability: Number(row[5]) }));
}

function count(images, threshold) {
  const number = (ill, alarm) => images.filter(i => i.ill === ill && (i.probability >= threshold) === alarm).length;
  return { found: number(true, true), missed: number(true, false),
           falseAlarms: number(false, true), cleared: number(false, false) };
}

function shares(counts) {
  const { found, missed, falseAlarms, cleared } = counts;
  return { sensitivity: found / (found + missed), specificity: cleared / (falseAlarms + cleared),
           accuracy: (found + cleared) / (found + missed + falseAlarms + cleared) };
}

function drawCurve(images, now, label) {
  const thresholds = [2, ...new Set(images.map(i => i.probability).sort((a, b) => b - a))];
  const points = thresholds.map(threshold => shares(count(images, threshold)));
  const line = { x: points.map(p => 1 - p.specificity), y: points.map(p => p.sensitivity), mode: "lines",
                 line: { color: "#0173b2" }, name: "all thresholds", hoverinfo: "skip" };
  const point = { x: [1 - now.specificity], y: [now.sensitivity], mode: "markers",
                  marker: { color: "#de8f05", size: 14 }, name: "this threshold" };
  const guess = { x: [0, 1], y: [0, 1], mode: "lines", line: { color: "gray", dash: "dash" }, name: "guessing",
                  hoverinfo: "skip" };
  const layout = {
    margin: { l: 60, r: 10, t: 10, b: 50 }, legend: { x: 0.98, y: 0.05, xanchor: "right" },
    xaxis: { title: { text: "false alarms among the healthy" }, range: [-0.02, 1.02], fixedrange: true },
    yaxis: { title: { text: "sensitivity" }, range: [-0.02, 1.02], fixedrange: true },
  };
  Plotly.react("roc", [guess, line, point], layout, { displayModeBar: false, responsive: true });
  part("roc").setAttribute("aria-label", label);
}

function thumbnail(image, alarm) {
  const figure = document.createElement("figure");
  const truth = image.ill ? "pneumonia" : "healthy";
  const verdict = image.ill === alarm ? "now right" : "now wrong";
  const picture = document.createElement("span");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `X-ray of test image ${image.place + 1}`);
  picture.style.backgroundPosition = `-${(image.place / PICTURES) * 64}px 0`;
  const text = document.createElement("figcaption");
  text.textContent = `${truth}, ${image.probability.toFixed(2)}, ${verdict}`;
  figure.append(picture, text);
  return figure;
}

function update() {
  const threshold = Number(part("threshold").value), prevalence = Number(part("prevalence").value) / 100;
  const images = imagesOf(part("model").value), counts = count(images, threshold), now = shares(counts);
  part("threshold-shown").textContent = threshold.toFixed(2);
  part("found").textContent = counts.found;
  part("missed").textContent = counts.missed;
  part("false-alarms").textContent = counts.falseAlarms;
  part("cleared").textContent = counts.cleared;
  for (const [name, share] of Object.entries(now)) part(name).textContent = share.toFixed(3);
  const right = now.sensitivity * prevalence, wrong = (1 - now.specificity) * (1 - prevalence);
  const known = part("prevalence").validity.valid && part("prevalence").value !== "";
  part("true-alarms").textContent = !known ? "choose 1 to 99" : right + wrong ? (100 * right / (right + wrong)).toFixed(0) : "no alarms";
  const alarms = (1 - now.specificity).toFixed(3);
  drawCurve(images, now, `ROC curve of all thresholds. At this one, sensitivity ${now.sensitivity.toFixed(3)}, false alarms ${alarms}.`);
  const changed = images.filter(i => (i.probability >= threshold) !== (i.probability >= FIRST));
  const better = changed.filter(i => i.ill === (i.probability >= threshold)).length;
  part("changed").textContent = changed.length === 0
    ? `Against the threshold ${FIRST.toFixed(2)} no image changes sides. Move the threshold.`
    : `Against the threshold ${FIRST.toFixed(2)}, ${changed.length} of ${images.length} images change sides: `
      + `${better} are right now, ${changed.length - better} are wrong now.`;
  const pictures = changed.filter(i => i.place % PICTURES === 0).map(i => thumbnail(i, i.probability >= threshold));
  part("images").replaceChildren(...pictures);
}

part("threshold-form").addEventListener("input", update);
part("threshold-form").addEventListener("submit", event => event.preventDefault());
update();
