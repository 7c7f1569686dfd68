// Input of pictures (file, clipboard, drag and drop, URL), and scaling them down to the service's limits.
import { $ } from "./page.js";
import { limits } from "./words.js";

const CANVAS_PIXELS = 16_000_000; // a canvas of this size works in every browser
const QUALITY = 0.92;
const ON_THE_WEB = /^https?:\/\//i;
const typing = (event) => event.target.closest?.("input, textarea");

let kept; // object URL of the latest picture, revoked with the next one

/** onPicture({blob, name} or {url}) is called for each picture that the reader chooses. */
export function startPictures(onPicture) {
  const bring = (file) => file && onPicture({ blob: file, name: file.name || "picture" });
  $("file").onchange = (event) => {
    bring(event.target.files[0]);
    event.target.value = ""; // lets the reader choose the same file again
  };
  $("by-url").onsubmit = (event) => {
    event.preventDefault();
    onPicture({ url: $("url").value.trim() });
  };
  $("sample").onclick = async () => {
    const blob = await (await fetch(new URL("sample.png", import.meta.url))).blob();
    onPicture({ blob, name: "sample.png" });
  };
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    const text = event.clipboardData.getData("text").trim();
    if (file) bring(file);
    else if (!typing(event) && ON_THE_WEB.test(text)) onPicture({ url: text });
  });
  startDrops(bring, onPicture);
}

function startDrops(bring, onPicture) {
  const root = document.documentElement;
  const ours = (event) => !typing(event) || event.dataTransfer.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    root.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) root.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    root.classList.remove("dropping");
    if (!ours(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const url = event.dataTransfer.getData("text/uri-list").split("\n")[0].trim();
    if (file) bring(file);
    else if (ON_THE_WEB.test(url)) onPicture({ url });
  });
}

/** A loaded, upright image element; null if the browser cannot show the picture. */
export async function load(source) {
  const image = new Image();
  image.alt = "";
  image.referrerPolicy = "no-referrer";
  if (source.blob) {
    URL.revokeObjectURL(kept);
    kept = URL.createObjectURL(source.blob);
  }
  image.src = source.blob ? kept : source.url;
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

/**
 * The picture, scaled down if it exceeds the service's limits. image: a loaded image; null leaves the check to the
 * service. Returns {blob, scaled: null or [width, height]}.
 */
export async function fit(blob, image) {
  if (!image) return { blob, scaled: null };
  const { naturalWidth: width, naturalHeight: height } = image;
  const pixels = width * height;
  const side = Math.max(width, height);
  if (blob.size <= limits.max_picture_bytes && pixels <= limits.max_picture_pixels && side <= limits.max_side_px) {
    return { blob, scaled: null };
  }
  const scale = Math.min(1, Math.sqrt(CANVAS_PIXELS / pixels), limits.max_side_px / side);
  const canvas = document.createElement("canvas");
  canvas.width = Math.floor(width * scale);
  canvas.height = Math.floor(height * scale);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const smaller = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return { blob: smaller, scaled: [canvas.width, canvas.height] };
}
