/** One side of a call: a browser in a child process, in a network namespace if one is named. Every wait has a limit. */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Milliseconds that a browser's whole life may take. */
const LIFE_LIMIT = 300_000;
/** Milliseconds between asking a driver to end and ending it. */
const END_LIMIT = 8_000;

export class Side {
  #child;
  #folder;
  #asked = new Map();
  #next = 1;

  /** `options` are those of `Page.launch` or, with `foreign`, of `Foreign.launch`; and `netns`. */
  static async start({ netns, ...options }) {
    const folder = await mkdtemp(join(tmpdir(), 'causeway-browser-'));
    const side = new Side(folder, netns);
    try {
      side.version = await side.#ask('launch', [{ ...options, folder }], 90_000);
      return side;
    } catch (error) {
      await side.end();
      throw error;
    }
  }

  constructor(folder, netns) {
    this.#folder = folder;
    const command = [process.execPath, fileURLToPath(new URL('driver.mjs', import.meta.url)), String(LIFE_LIMIT)];
    const [program, ...args] = netns ? ['ip', 'netns', 'exec', netns, ...command] : command;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.on('error', (error) => this.#lost(error.message));
    this.#child.on('exit', (code, signal) => this.#lost(`the driver ended with ${signal ?? code}`));
    this.#child.stdin.on('error', () => {}); // told by exit
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answered(JSON.parse(line)));
  }

  open(url) {
    return this.#ask('open', [url], 40_000);
  }

  click(selector, limit = 10_000) {
    return this.#ask('click', [selector, limit], limit + 5_000);
  }

  type(selector, text) {
    return this.#ask('type', [selector, text], 15_000);
  }

  wait(condition, limit, measure) {
    return this.#ask('wait', [condition, limit, measure], limit + 10_000);
  }

  state() {
    return this.#ask('state', [], 10_000);
  }

  stats() {
    return this.#ask('stats', [], 20_000);
  }

  explanation() {
    return this.#ask('explanation', [], 10_000);
  }

  path() {
    return this.#ask('path', [], 10_000);
  }

  observe(seconds, askNode = true) {
    return this.#ask('observe', [seconds, askNode], (seconds + 30) * 1000);
  }

  observeStreams(seconds) {
    return this.#ask('observeStreams', [seconds], (seconds + 60) * 1000);
  }

  receive(role, wish) {
    return this.#ask('receive', [role, wish], 10_000);
  }

  layer(role) {
    return this.#ask('layer', [role], 10_000);
  }

  watch(seconds, renew) {
    return this.#ask('watch', [seconds, renew], (seconds + 30) * 1000);
  }

  listen() {
    return this.#ask('listen', [], 10_000);
  }

  heardDigits() {
    return this.#ask('heardDigits', [], 20_000);
  }

  screenshot(path, viewport) {
    return this.#ask('screenshot', [path, viewport], 20_000);
  }

  theme(name) {
    return this.#ask('theme', [name], 10_000);
  }

  errors() {
    return this.#ask('errors', [], 5_000);
  }

  closeTab() {
    return this.#ask('closeTab', [], 10_000);
  }

  /** A method of `Foreign` that takes at most `limit` milliseconds. */
  foreign(method, args = [], limit = 30_000) {
    return this.#ask(method, args, limit);
  }

  /** Closes the browser and removes its files. */
  async end() {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null && child.pid) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      const limit = setTimeout(() => child.kill('SIGKILL'), END_LIMIT);
      await gone;
      clearTimeout(limit);
    }
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  #ask(method, args, limit) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, { error: `${method} took longer than ${limit} ms` }), limit);
      this.#asked.set(id, { resolve, reject, timer });
      this.#child.stdin.write(`${JSON.stringify({ id, method, args })}\n`);
    });
  }

  #answered({ id, ...answer }) {
    this.#settle(id, answer);
  }

  #settle(id, { value, error }) {
    const asked = this.#asked.get(id);
    if (!asked) return;
    this.#asked.delete(id);
    clearTimeout(asked.timer);
    if (error) asked.reject(new Error(error));
    else asked.resolve(value);
  }

  #lost(words) {
    for (const id of [...this.#asked.keys()]) this.#settle(id, { error: words });
  }
}
