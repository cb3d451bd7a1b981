// The page: a paper to draw on, and what the server says about it.

const $ = (id) => document.getElementById(id);
const paper = $("paper");
const pen = paper.getContext("2d", { willReadFrequently: true });
const PEN_WIDTH = 22;
const KEY_STEP = 10;

let models = [];
let drawing = null; // where the pen was last, while it is down
let blank = true;
let dropped = null; // the image file on the paper, sent as it is until something is drawn on it
let changed = false; // whether the paper changed after the last request was sent
let busy = false;
let settling = 0; // the steps are asked for when the drawing has settled
let speaking = 0; // a screen reader says the answer when it has settled

// ---- talking to the server ----

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) $("token-form").hidden = false;
  const body = await response.json().catch(() => ({}));
  const error = new Error(body.error ?? `${response.status} ${response.statusText}`);
  throw Object.assign(error, { status: response.status });
}

function complain(error) {
  $("problem").textContent = error?.message ?? "";
  $("problem").hidden = !error;
}

async function loadModels() {
  try {
    models = await (await ask("models")).json();
    complain(models.length ? null : new Error("No model is ready."));
  } catch (error) {
    // While the server looks through its zoo.
    if (error.status === 503) setTimeout(loadModels, 300);
    return complain(error);
  }
  const names = models.map((model) => `${model.manifest.name}@${model.manifest.version}`);
  const wanted = location.hash.slice(1) || "mnist-robust";
  $("model").replaceChildren(...names.map((name) => new Option(name)));
  const first = names.findLast((name) => name === wanted || name.startsWith(`${wanted}@`));
  if (first) $("model").value = first;
  if (models.length) showModel();
}

const model = () => models[$("model").selectedIndex];

// One request at a time; the newest state of the paper is sent when the last answer is there.
async function predict() {
  changed = true;
  if (busy || !model()) return;
  setBusy(true);
  while (changed && !blank) {
    changed = false;
    const image = dropped ?? (await new Promise((done) => paper.toBlob(done)));
    const start = performance.now();
    try {
      const name = encodeURIComponent($("model").value);
      const response = await ask(`predict?explain=true&read=true&model=${name}`, { method: "POST", body: image });
      const answer = await response.json();
      // The paper may have been cleared, or another model chosen, meanwhile.
      if (!blank && $("model").value === `${answer.model}@${answer.version}`) showAnswer(answer, performance.now() - start);
      complain(null);
      clearTimeout(settling);
      settling = setTimeout(() => loadSteps(image, name), 250);
    } catch (error) {
      complain(error);
    }
  }
  setBusy(false);
}

// The pictures of the steps, once the paper has settled: not for each movement of the pen.
async function loadSteps(image, name) {
  if (busy || blank) return;
  try {
    const response = await ask(`predict?steps=true&top_k=1&model=${name}`, { method: "POST", body: image });
    const answer = await response.json();
    if (!busy && !blank) showSteps(answer.steps ?? []);
  } catch (error) {
    complain(error);
  }
}

function setBusy(value) {
  busy = value;
  $("answer").setAttribute("aria-busy", value);
}

// ---- showing ----

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const STATUS = {
  ok: "",
  empty: "Nothing is on the paper.",
  several: "Several objects; the bars are for the largest.",
  unsure: "Not sure.",
  unlike: "Not like the images that the model was trained on.",
};

function showAnswer(answer, milliseconds) {
  const several = answer.status === "several" && answer.reading;
  const empty = answer.status === "empty";
  $("label").textContent = empty ? "–" : several ? answer.reading.text : answer.label;
  $("label").classList.toggle("long", several && answer.reading.text.length > 3);
  $("share").textContent = empty || several ? "" : percent(answer.classes[0].probability);
  $("status").textContent = STATUS[answer.status] ?? answer.status;
  $("status").hidden = answer.status === "ok";
  showMarks(answer);
  const shares = new Map(answer.classes.map((entry) => [entry.label, entry.probability]));
  for (const row of $("classes").children) {
    const share = empty ? 0 : shares.get(row.dataset.label) ?? 0;
    row.classList.toggle("best", !empty && row.dataset.label === answer.label);
    row.querySelector(".bar").style.transform = `scaleX(${share})`;
    row.querySelector(".number").textContent = percent(share);
  }
  $("time").textContent = `answered in ${milliseconds.toFixed(0)} ms`;
  $("time").dataset.milliseconds = milliseconds;
  clearTimeout(speaking);
  speaking = setTimeout(() => { $("spoken").textContent = [$("label").textContent, $("share").textContent, $("status").textContent].filter(Boolean).join(", "); }, 600);
  const [channels, height, width] = answer.input.shape;
  paint($("input"), bytes(answer.input.pixels), channels, height, width);
  const pictures = answer.layers.map((layer) =>
    figure(`${layer.layer}: ${layer.count} feature maps of ${layer.height}x${layer.width}, bright where they fire`,
      grid(layer, grey)));
  $("layers").replaceChildren(...pictures);
}

// A frame around each object that was found, with its label if there are several.
function showMarks(answer) {
  const { width, height } = answer.image;
  // The image lies in the middle of the square paper.
  const scale = 100 / Math.max(width, height);
  const [left, top] = [(100 - width * scale) / 2, (100 - height * scale) / 2];
  const rows = answer.reading?.rows ?? [];
  const marks = rows.flatMap((row) => row.objects).map(({ bounds, label, status }) => {
    const mark = element("span", rows.length > 1 || rows[0].objects.length > 1 ? label : "");
    mark.className = status === "ok" ? "" : "doubtful";
    const place = { left: left + bounds.left * scale, top: top + bounds.top * scale,
      width: (bounds.right - bounds.left) * scale, height: (bounds.bottom - bounds.top) * scale };
    for (const [side, share] of Object.entries(place)) mark.style[side] = `${share}%`;
    return mark;
  });
  $("marks").replaceChildren(...marks);
}

function showSteps(steps) {
  $("steps").replaceChildren(...steps.map(({ step, png }) => {
    const name = step.replaceAll("_", " ");
    const picture = element("img", "", { src: `data:image/png;base64,${png}`, alt: `after ${name}` });
    const made = document.createElement("figure");
    made.append(picture, element("figcaption", name));
    return made;
  }));
}

function paint(canvas, values, channels, height, width) {
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const plane = height * width;
  for (let place = 0; place < plane; place++) {
    for (let colour = 0; colour < 3; colour++) {
      image.data[4 * place + colour] = values[(channels === 3 ? colour * plane : 0) + place];
    }
    image.data[4 * place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const grey = (step) => [step, step, step];

// Blue above zero, orange below, white at zero.
function diverging(low, high) {
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  return (step) => {
    const value = (low + (step / 255) * (high - low)) / most;
    const fade = 255 * (1 - Math.abs(value));
    return value > 0 ? [fade, 90 + 0.65 * fade, 200 + 0.2 * fade] : [230 + 0.1 * fade, 120 + 0.53 * fade, fade];
  };
}

// All planes of a layer on one canvas.
function grid(layer, colour) {
  const { count, height, width } = layer;
  const values = bytes(layer.values);
  const columns = Math.min(count, innerWidth < 600 ? 8 : 16);
  const rows = Math.ceil(count / columns);
  const canvas = element("canvas", "", { class: "pixels", role: "img" });
  [canvas.width, canvas.height] = [columns * (width + 1) - 1, rows * (height + 1) - 1];
  const image = new ImageData(canvas.width, canvas.height);
  for (let plane = 0; plane < count; plane++) {
    const [top, left] = [Math.floor(plane / columns) * (height + 1), (plane % columns) * (width + 1)];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = 4 * ((top + y) * canvas.width + left + x);
        image.data.set(colour(values[(plane * height + y) * width + x]), at);
        image.data[at + 3] = 255;
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.style.width = `${Math.max(1, Math.round(900 / canvas.width)) * canvas.width}px`;
  return canvas;
}

function figure(caption, canvas) {
  canvas.setAttribute("aria-label", caption);
  const made = document.createElement("figure");
  made.append(element("figcaption", caption), canvas);
  return made;
}

const PREPROCESSING = {
  mnist: "Inverted if the paper is bright, cropped to the ink, fitted into a 20x20 box and centred by mass, as MNIST was made.",
  fashion: "Inverted if the ground is bright, padded to a square and resized.",
  resize: "Resized, nothing else.",
};

function showModel() {
  const { manifest, proof, filters, sha256, files } = model();
  $("classes").replaceChildren(...manifest.labels.map((label) => {
    const row = element("li", "", { "data-label": label });
    const track = element("span", "", { class: "track", "aria-hidden": "true" });
    track.append(element("div", "", { class: "bar" }));
    row.append(element("span", label), track, element("span", "", { class: "number" }));
    return row;
  }));
  const how = manifest.preprocessing;
  $("preprocessing").textContent = Array.isArray(how)
    ? "Made from the picture by the steps below; an image in the dataset's own form goes through unchanged."
    : PREPROCESSING[how] ?? "";
  $("filters").replaceChildren(...(filters ? [
    figure(`${filters.layer}: the ${filters.count} filters of the first convolution, ${filters.height}x${filters.width}; blue adds, orange subtracts`,
      grid(filters, diverging(filters.low, filters.high))),
  ] : []));
  showCard(manifest, proof, sha256, files);
  forget();
  predict();
}

// What the manifest promises of its probabilities.
function believed({ confidence, corruptions }) {
  const share = (count) => { const [right, all] = count.split("/").map(Number); return right / all; };
  const claims = [];
  if (confidence) {
    const most = confidence.coverage.find((coverage) => coverage.promised === 0.99);
    claims.push(["Probabilities", `calibration error ${(100 * confidence.calibration_error).toFixed(2)} %`
      + (most ? `; sets that promise 99 % hold the truth ${percent(share(most.covered))} of the time` : "")]);
  }
  if (corruptions) {
    const shares = Object.values(corruptions).flat().map(share);
    const mean = shares.reduce((sum, value) => sum + value, 0) / shares.length;
    claims.push(["Damaged images", `${percent(mean)} right on average over ${Object.keys(corruptions).length} kinds in five strengths`]);
  }
  return claims;
}

function showCard(manifest, proof, sha256, files) {
  const { training, test, network } = manifest;
  $("description").textContent = manifest.description;
  const [right, all] = test.correct.split("/").map(Number);
  const claims = [
    ["Test accuracy", `${((100 * right) / all).toFixed(2)} % (${test.correct})`],
    ["Data", manifest.dataset.name],
    ...believed(manifest),
    ["Size", `${network.parameters.toLocaleString("en")} parameters, ${network.macs.toLocaleString("en")} multiply-accumulates for an image`],
    ["Training", `${training.epochs} epochs, seed ${training.seed}, ${training.numeric_profile.threads} threads, ${training.numeric_profile.isa}`],
    ["sha256 of the network", sha256],
    ["sha256 of the recipe", training.recipe_sha256],
    ["sha256 of the parameters", training.parameters_sha256],
  ];
  $("claims").replaceChildren(...claims.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  const kinds = proof.reproduced_on.length;
  const reports = proof.reproductions.map((report) =>
    `${report.test || (report.passed ? "passed" : "failed")}: ${report.epochs_retrained ?? "?"} epochs retrained on ${report.processor ?? "an unnamed processor"} by the holder of key ${report.key.slice(0, 8)} (its signature is not checked here).`);
  if (kinds) {
    reports.unshift(`Retrained bit for bit on ${kinds} ${kinds === 1 ? "kind" : "kinds"} of processor, say those who left a report.`);
  }
  const lines = [
    `Files checked against the manifest before serving: ${proof.files}.`,
    `Golden outputs: ${proof.golden}.`,
    proof.signature ? `Signed by the operator's key: ${proof.signature}.` : "Signature: none was asked for.",
    ...(reports.length ? reports : ["Reproduced: nobody has left a report. `trainer reproduce` makes one."]),
  ];
  $("proof").replaceChildren(...lines.map((line) => element("li", line)));
  const base = `models/${manifest.name}/${manifest.version}`;
  const has = (file) => files && (file in manifest.files || file === "manifest.yaml");
  const pictures = [
    ["learning_curve.svg", "Learning curve"],
    ["confusion_matrix.svg", "Confusion matrix"],
    ["reliability.svg", "How often answers of each probability are right"],
    ["corruptions.svg", "Accuracy on damaged images"],
  ];
  $("pictures").replaceChildren(...pictures.filter(([file]) => has(file)).map(([file, alt]) => {
    const image = element("img", "", { alt });
    fileUrl(`${base}/${file}`).then((url) => { image.src = url; }, complain);
    return image;
  }));
  const links = ["README.md", "manifest.yaml", "recipe.yaml", "model.onnx"].filter(has);
  $("links").replaceChildren(...links.flatMap((file) => {
    const link = element("a", file, { href: `${base}/${file}` });
    // A link cannot carry the token.
    link.addEventListener("click", async (event) => {
      if (!sessionStorage.getItem("token")) return;
      event.preventDefault();
      await fileUrl(link.href).then((url) => open(url), complain);
    });
    return [link, " "];
  }));
}

// An address of a file that needs no token.
async function fileUrl(path) {
  if (!sessionStorage.getItem("token")) return path;
  return URL.createObjectURL(await (await ask(path)).blob());
}

function forget() {
  $("label").textContent = "–";
  for (const id of ["share", "time", "status"]) $(id).textContent = "";
  for (const id of ["marks", "steps"]) $(id).replaceChildren();
  $("status").hidden = true;
  for (const row of $("classes").children) {
    row.classList.remove("best");
    row.querySelector(".bar").style.transform = "scaleX(0)";
    row.querySelector(".number").textContent = "";
  }
  const { width, height } = $("input");
  $("input").getContext("2d").clearRect(0, 0, width, height);
  $("layers").replaceChildren();
}

// ---- drawing ----

function clear() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, paper.width, paper.height);
  [blank, drawing, dropped] = [true, null, null];
  if (model()) forget();
}

function stroke(from, to) {
  pen.strokeStyle = "#000";
  [pen.lineWidth, pen.lineCap, pen.lineJoin] = [PEN_WIDTH, "round", "round"];
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  [blank, dropped] = [false, null];
  predict();
}

function place(event) {
  const box = paper.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * paper.width) / box.width,
    ((event.clientY - box.top) * paper.height) / box.height,
  ];
}

paper.addEventListener("pointerdown", (event) => {
  paper.setPointerCapture(event.pointerId);
  drawing = place(event);
  stroke(drawing, drawing);
});
paper.addEventListener("pointermove", (event) => {
  if (!drawing || !event.buttons) return;
  for (const step of event.getCoalescedEvents?.() ?? [event]) {
    const next = place(step);
    stroke(drawing, next);
    drawing = next;
  }
});
for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => { drawing = null; });

// Keyboard: a pen of its own.
const key = { at: [140, 140], down: false };
paper.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const move = moves[event.key];
  if (move) {
    const next = key.at.map((value, axis) => Math.min(270, Math.max(10, value + KEY_STEP * move[axis])));
    if (key.down) stroke(key.at, next);
    key.at = next;
  } else if (event.key === " ") {
    key.down = !key.down;
    if (key.down) stroke(key.at, key.at);
  } else if (event.key === "Escape") {
    clear();
    [key.at, key.down] = [[140, 140], false];
  } else return;
  event.preventDefault();
});

async function show(file) {
  try {
    const image = await createImageBitmap(file);
    clear();
    const scale = Math.min(paper.width / image.width, paper.height / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    pen.drawImage(image, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
    [blank, dropped] = [false, file];
    predict();
  } catch {
    complain(new Error(`${file.name}: not an image that this browser can read`));
  }
}

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    paper.classList.toggle("over", kind === "dragenter" || kind === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer?.files ?? [];
  if (file) show(file);
});

$("clear").addEventListener("click", clear);
$("open").addEventListener("click", () => $("file").click());
$("photo").addEventListener("click", () => $("camera").click());
for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) show(file);
    event.target.value = "";
  });
}
$("model").addEventListener("change", () => {
  location.hash = $("model").value;
  showModel();
});
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token-form").hidden = true;
  loadModels();
});

clear();
loadModels();
