/** A page of Chromium that comes from a server of the script's own: what it shows and runs is the script's. */

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchChromium } from './chromium.mjs';
import { makeMedia } from './media.mjs';
import { senses } from './senses.mjs';

export class LocalPage {
  faults = [];

  /**
   * Opens one whose camera and microphone give `media`. `files` has type and text by path; every other path is `html`.
   * It loads within `limit` milliseconds.
   */
  static async open({ name, media, html, files = {}, limit }) {
    const local = new LocalPage();
    local.folder = await mkdtemp(join(tmpdir(), `causeway-${name}-`));
    const made = await makeMedia(local.folder, media);
    local.server = createServer(({ url }, response) => {
      const [type, body] = files[url] ?? ['text/html', html];
      response.writeHead(200, { 'content-type': type }).end(body);
    });
    await new Promise((resolve) => local.server.listen(0, '127.0.0.1', resolve));
    local.browser = await launchChromium({ media: made, profile: join(local.folder, 'profile') });
    local.page = await local.browser.newPage();
    local.page.on('pageerror', (error) => local.faults.push(error.message));
    await local.page.goto(`http://127.0.0.1:${local.server.address().port}/`, { timeout: limit });
    await local.page.evaluate(senses);
    return local;
  }

  async errors() {
    return this.faults;
  }

  async end() {
    await this.browser.close();
    this.server.close();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
