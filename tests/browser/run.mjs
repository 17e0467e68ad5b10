/** One run of a script with browsers: its steps, a line for each, and its end. */

import { createInterface } from 'node:readline';

export class Run {
  /** The sides by name. */
  sides = {};
  #limit;
  #pauses;
  #words;
  #forgives;
  #good = true;

  /**
   * Ends after `limit` milliseconds at the latest; after each step of `pauseAfter`, a list with commas, it waits for a line of standard
   * input. Errors of a page that `forgives` says yes to do not spoil the run.
   */
  constructor({ limit, pauseAfter, forgives = () => false }) {
    this.#pauses = new Set(pauseAfter.split(',').filter(Boolean));
    this.#words = this.#pauses.size ? createInterface({ input: process.stdin })[Symbol.asyncIterator]() : null;
    this.#forgives = forgives;
    this.#limit = setTimeout(() => this.#finish('the run took too long', 3), limit);
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => this.#finish(`ended by ${signal}`, 3));
  }

  /** Does all the work and ends the process: 0 if every step went well, 1 if not. */
  async through(work) {
    try {
      await work();
      await this.#finish(null, this.#good ? 0 : 1);
    } catch (error) {
      await this.#finish(error.message, 1);
    }
  }

  /** Runs one step, prints its line and remembers whether it went well; a step that throws ends the run. */
  async step(name, work) {
    const started = Date.now();
    try {
      const { ok = true, ...found } = (await work()) ?? {};
      this.#good &&= ok;
      print({ step: name, ok, ms: Date.now() - started, ...found });
      if (this.#pauses.has(name) && (await this.#words.next()).done) throw new Error(`nobody said to go on after ${name}`);
    } catch (error) {
      print({ step: name, ok: false, ms: Date.now() - started, error: error.message });
      throw error;
    }
  }

  /** The same for some sides, all by default, at the same time; what is found, by name. */
  async each(work, names = Object.keys(this.sides)) {
    const found = await all(names.map((name) => work(this.sides[name], name)));
    return Object.fromEntries(names.map((name, index) => [name, found[index]]));
  }

  async #finish(error, code) {
    clearTimeout(this.#limit);
    const errors = await this.each((side) => side.errors().catch((problem) => [problem.message]));
    const clean = Object.values(errors).flat().every((line) => this.#forgives(line));
    await Promise.allSettled(Object.values(this.sides).map((side) => side.end()));
    print({ step: 'done', ok: code === 0 && clean, error, errors });
    process.exit(code || (clean ? 0 : 1));
  }
}

/** Waits for all even if one fails, so that nothing goes on behind an error. */
export async function all(promises) {
  const settled = await Promise.allSettled(promises);
  const failed = settled.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  return settled.map(({ value }) => value);
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
