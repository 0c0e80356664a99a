"use strict";
// The random numbers of torch on a CPU: a seed means here what it means to `gan sample`.

// The first 8 bytes of BLAKE2b (RFC 7693) of at most 128 ASCII characters, as a little-endian number.
function blake2b8(text) {
  const MASK = (1n << 64n) - 1n;
  const IV = ["6a09e667f3bcc908", "bb67ae8584caa73b", "3c6ef372fe94f82b", "a54ff53a5f1d36f1",
    "510e527fade682d1", "9b05688c2b3e6c1f", "1f83d9abfb41bd6b", "5be0cd19137e2179"].map((x) => BigInt("0x" + x));
  const SIGMA = ["0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
    "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0"];
  const block = new Uint8Array(128);
  block.set(new TextEncoder().encode(text));
  const view = new DataView(block.buffer);
  const m = Array.from({ length: 16 }, (_, i) => view.getBigUint64(8 * i, true));
  const h = IV.slice();
  h[0] ^= 0x01010008n;  // no key, 8 bytes
  const v = [...h, ...IV];
  v[12] ^= BigInt(text.length);
  v[14] ^= MASK;  // the last block
  const turned = (x, by) => ((x >> by) | (x << (64n - by))) & MASK;
  const mix = (a, b, c, d, x, y) => {
    v[a] = (v[a] + v[b] + x) & MASK; v[d] = turned(v[d] ^ v[a], 32n);
    v[c] = (v[c] + v[d]) & MASK; v[b] = turned(v[b] ^ v[c], 24n);
    v[a] = (v[a] + v[b] + y) & MASK; v[d] = turned(v[d] ^ v[a], 16n);
    v[c] = (v[c] + v[d]) & MASK; v[b] = turned(v[b] ^ v[c], 63n);
  };
  for (let round = 0; round < 12; round++) {
    const s = [...SIGMA[round % 10]].map((digit) => m[parseInt(digit, 16)]);
    for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i, s[2 * i], s[2 * i + 1]);
    for (let i = 0; i < 4; i++) mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, s[8 + 2 * i], s[9 + 2 * i]);
  }
  return h[0] ^ v[0] ^ v[8];
}

// MT19937 (Matsumoto 1998), with torch's ways to make numbers of its bits.
class Random {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(last, 1812433253) + i;
    }
    this.at = 624;
  }

  bits() {
    const s = this.state;
    if (this.at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.at = 0;
    }
    let y = s[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  uniform() {  // float32 in [0, 1)
    return (this.bits() & 0xffffff) / 2 ** 24;
  }

  uniform64() {  // float64 in [0, 1)
    const high = this.bits();
    return ((high & 0x1fffff) * 2 ** 32 + this.bits()) / 2 ** 53;
  }

  uniforms(n) {
    return Float32Array.from({ length: n }, () => this.uniform());
  }

  // torch.randn of n >= 16 numbers: Box and Muller's pairs, eight beside each other; what does not fill the last
  // sixteen replaces them whole.
  normals(n) {
    const x = this.uniforms(n);
    const pair = (start) => {
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - x[i])), angle = 2 * Math.PI * x[i + 8];
        x[i] = radius * Math.cos(angle);
        x[i + 8] = radius * Math.sin(angle);
      }
    };
    for (let i = 0; i + 16 <= n; i += 16) pair(i);
    if (n % 16) {
      for (let i = n - 16; i < n; i++) x[i] = this.uniform();
      pair(n - 16);
    }
    return x;
  }
}

// erf(x) by its series, which is exact to double precision for |x| < 3 and good to 1e-13 up to 5.
function erf(x) {
  let term = x, sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && k < 200; k++) {
    term *= -x * x / k;
    sum += term / (2 * k + 1);
  }
  return Math.abs(x) > 5 ? Math.sign(x) : 2 / Math.sqrt(Math.PI) * sum;
}

// The inverse of erf: Winitzki's approximation, then Newton's steps.
function erfinv(y) {
  if (Math.abs(y) >= 1) return Math.sign(y) * Infinity;
  const log = Math.log1p(-y * y), a = 2 / (Math.PI * 0.147) + log / 2;
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(a * a - log / 0.147) - a);
  for (let i = 0; i < 4; i++) x -= (erf(x) - y) / (2 / Math.sqrt(Math.PI) * Math.exp(-x * x));
  return x;
}

// The priors of gan_cli/priors.py: n latents of width z, one after the other.
const PRIORS = {
  Normal: (random, n, z) => random.normals(n * z),
  Uniform: (random, n, z) => random.uniforms(n * z).map((u) => 2 * u - 1),
  Spherical: (random, n, z) => {
    const x = random.normals(n * z);
    for (let i = 0; i < n; i++) {
      const row = x.subarray(i * z, (i + 1) * z), length = Math.hypot(...row);
      row.forEach((value, j) => { row[j] = Math.sqrt(z) * value / length; });
    }
    return x;
  },
  Truncated: (random, n, z, bound) => {
    const tail = erf(bound / Math.SQRT2);
    return Float32Array.from({ length: n * z }, () => {
      const value = Math.SQRT2 * erfinv((2 * random.uniform64() - 1) * tail);
      return Math.max(-bound, Math.min(bound, value));
    });
  },
};

// The generator behind block b of 64 samples of a seed (gan_cli.rng.mix).
function randomOf(seed, block) {
  return new Random(Number((blake2b8(`(${seed}, 'samples', ${block})`) >> 1n) & 0xffffffffn));
}
