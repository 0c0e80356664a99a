// A picture of the user's as `gan sample source=` reads it, and what the network is given of it.

// What a file says of its pixels: whether they have no colour, and how many bits each has.
function kind(bytes) {
  const said = (...values) => values.every((value, i) => value === bytes[i]);
  if (said(0x89, 0x50, 0x4e, 0x47)) return { grey: bytes[25] === 0 || bytes[25] === 4, bits: bytes[24] };
  if (said(0xff, 0xd8)) return { grey: components(bytes) === 1, bits: 8 };
  return { grey: false, bits: 8 };
}

// The number of components in the frame header of a JPEG file.
function components(bytes) {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + 256 * bytes[at + 2] + bytes[at + 3]) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return bytes[at + 9];
  }
  return 3;
}

// A file's picture: upright, its values as they are in the file, whatever colours its profile means by them.
async function picture(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  const said = kind(new Uint8Array(await file.arrayBuffer()));
  return { bitmap, ...said, name: (file.name || "picture").replace(/\.\w+$/, "") };
}

// Its pixels at a size, each channel in 0 ... 255: `colour`, laid on white, and `alpha`, null where all are opaque.
function pixels({ bitmap }, width, height) {
  const at = (under) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    if (under) {
      context.fillStyle = under;
      context.fillRect(0, 0, width, height);
    }
    context.drawImage(bitmap, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  };
  const alpha = at(null).filter((_, i) => i % 4 === 3);
  return { colour: at("#fff"), alpha: alpha.every((value) => value === 255) ? null : alpha, width, height };
}

// The values in a file that were black and white while the network was trained, where it was told.
function leveled({ grey, bits }) {
  if (!facts.levels) return (value) => value;
  const [low, high] = facts.levels, step = grey && bits === 16 ? 257 : 1;
  const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => Math.round((value * step - low) * 255 / (high - low)));
  return (value) => table[value];
}

// Luma of ITU-R BT.601, as Pillow rounds it.
const luma = (r, g, b) => (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;

// The place in a picture that is mirrored as often as it takes; a side of 1 is repeated.
function mirrored(place, side) {
  const period = Math.max(1, 2 * (side - 1));
  return Math.min(place % period, period - place % period) % side;
}

// What the network is given: values in [-1, 1] `[1, C', H, W]`, mirrored up to the least side that it takes.
function given(shown, { colour, width, height }) {
  const level = leveled(shown), tall = Math.max(height, facts.least), wide = Math.max(width, facts.least);
  const values = new Float32Array(facts.channels * tall * wide);
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < wide; x++) {
      const from = 4 * (mirrored(y, height) * width + mirrored(x, width));
      const rgb = [0, 1, 2].map((c) => level(colour[from + c]));
      const channels = facts.channels === 1 ? [luma(...rgb)] : rgb;
      channels.forEach((value, c) => { values[(c * tall + y) * wide + x] = value / 127.5 - 1; });
    }
  }
  return ["float32", values, [1, facts.channels, tall, wide]];
}
