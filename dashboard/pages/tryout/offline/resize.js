// The resize of core/images/preprocess.py, number by number as Pillow computes it: a canvas
// would smooth otherwise, and the model would be fed other pixels than it was trained on.
// References: Pillow, src/libImaging/Resample.c (8 bits a channel) and Geometry.c (nearest).

const BITS = 22;

const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function cubic(x) {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) { return ((a + 2) * d - (a + 3)) * d * d + 1; }
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// Python rounds a half to the even neighbour.
function round(x) {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) { return Math.round(x); }
  return down % 2 === 0 ? down : down + 1;
}

// The part of the picture that the centre crop of the scaled one shows: left, top, right, bottom.
export function cropBox(height, width, recipe) {
  if (recipe.resize === null) { return [0, 0, width, height]; }
  const short = Math.min(height, width);
  const scaledHeight = round((height * recipe.resize) / short);
  const scaledWidth = round((width * recipe.resize) / short);
  const top = Math.floor((scaledHeight - recipe.height) / 2);
  const left = Math.floor((scaledWidth - recipe.width) / 2);
  return [
    (left * width) / scaledWidth,
    (top * height) / scaledHeight,
    Math.min(width, ((left + recipe.width) * width) / scaledWidth),
    Math.min(height, ((top + recipe.height) * height) / scaledHeight),
  ].map(Math.fround);
}

// For each place of the result: where its pixels begin, and their weights as whole numbers.
function coefficients(inSize, from, to, outSize, filter) {
  const scale = Math.fround(to - from) / outSize;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const found = [];
  for (let place = 0; place < outSize; place += 1) {
    const centre = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(inSize, Math.trunc(centre + support + 0.5));
    const weights = [];
    let sum = 0;
    for (let i = first; i < last; i += 1) {
      const weight = filter.weight((i - centre + 0.5) / stretch);
      weights.push(weight);
      sum += weight;
    }
    const whole = weights.map((weight) => {
      const share = (sum === 0 ? weight : weight / sum) * 2 ** BITS;
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    found.push({ first, weights: Int32Array.from(whole) });
  }
  return found;
}

// One pass over `pixels`, of which `step` lie between two along the axis and `lines` go across.
function pass(pixels, table, lines, at, out) {
  for (let place = 0; place < table.length; place += 1) {
    const { first, weights } = table[place];
    for (let line = 0; line < lines; line += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 2 ** (BITS - 1);
        for (let i = 0; i < weights.length; i += 1) {
          sum += pixels[at(line, first + i) + channel] * weights[i];
        }
        out(line, place, channel, Math.max(0, Math.min(255, Math.floor(sum / 2 ** BITS))));
      }
    }
  }
}

// Returns uint8 (height, width, 3) of RGBA pixels, by a bundle's recipe.
export function preprocess(rgba, width, height, recipe) {
  const box = cropBox(height, width, recipe);
  if (recipe.interpolation === "nearest") { return nearest(rgba, width, height, box, recipe); }
  const filter = FILTERS[recipe.interpolation];
  const across = coefficients(width, box[0], box[2], recipe.width, filter);
  const down = coefficients(height, box[1], box[3], recipe.height, filter);
  // Only the rows that the second pass looks at are made by the first one.
  const top = down[0].first;
  const bottom = down[down.length - 1].first + down[down.length - 1].weights.length;
  const rows = bottom - top;
  const between = new Uint8Array(rows * recipe.width * 3);
  pass(rgba, across, rows,
    (line, i) => 4 * ((top + line) * width + i),
    (line, place, channel, value) => { between[3 * (line * recipe.width + place) + channel] = value; });
  const result = new Uint8Array(recipe.height * recipe.width * 3);
  pass(between, down, recipe.width,
    (line, i) => 3 * ((i - top) * recipe.width + line),
    (line, place, channel, value) => { result[3 * (place * recipe.width + line) + channel] = value; });
  return result;
}

function nearest(rgba, width, height, box, recipe) {
  const result = new Uint8Array(recipe.height * recipe.width * 3);
  const across = Math.fround(box[2] - box[0]) / recipe.width;
  const down = Math.fround(box[3] - box[1]) / recipe.height;
  for (let row = 0; row < recipe.height; row += 1) {
    const y = Math.min(height - 1, Math.floor(box[1] + (row + 0.5) * down));
    for (let column = 0; column < recipe.width; column += 1) {
      const x = Math.min(width - 1, Math.floor(box[0] + (column + 0.5) * across));
      for (let channel = 0; channel < 3; channel += 1) {
        result[3 * (row * recipe.width + column) + channel] = rgba[4 * (y * width + x) + channel];
      }
    }
  }
  return result;
}
