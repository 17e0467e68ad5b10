/**
 * Takes pictures of the page as a customer and an agent see it, on a desk and on a phone, light and dark.
 *
 *     node screenshot.mjs --customer https://127.0.0.1:8443/ --agent https://127.0.0.1:8443/agent --out DIR
 */

import { mkdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Side } from './side.mjs';

/** Milliseconds for the whole run, and for one wait. */
const RUN_LIMIT = 180_000;
const WAIT_LIMIT = 40_000;

// Without `isMobile`, which would load the page again and end its call.
const SCREENS = {
  landscape: { width: 780, height: 390, deviceScaleFactor: 2 },
  phone: { width: 390, height: 780, deviceScaleFactor: 2 },
  desktop: { width: 1280, height: 800 },
};

const { values: given } = parseArgs({ options: { customer: { type: 'string' }, agent: { type: 'string' }, out: { type: 'string' } } });

if (!given.customer || !given.agent || !given.out) {
  process.stderr.write('screenshot.mjs needs --customer URL, --agent URL and --out DIR\n');
  process.exit(2);
}

const sides = [];
const limit = setTimeout(() => finish('the run took too long'), RUN_LIMIT);

try {
  await run();
  await finish(null);
} catch (error) {
  await finish(error.message);
}

async function run() {
  await mkdir(given.out, { recursive: true });
  const [customer, agent] = await Promise.all([start(20, 440), start(200, 880)]);
  await Promise.all([customer.open(given.customer), agent.open(given.agent)]);
  await take(customer, 'customer-start');
  await take(agent, 'agent-empty');
  await customer.type('#name', 'Ada Lovelace');
  await customer.click('#call');
  await agent.wait('ringing', WAIT_LIMIT);
  await take(agent, 'agent-ringing');
  await take(customer, 'customer-waiting');
  await agent.click('.incoming .accept');
  await Promise.all([customer, agent].map((side) => side.wait('connected', WAIT_LIMIT)));
  await Promise.all([customer, agent].map((side) => side.wait('measured', WAIT_LIMIT)));
  await take(customer, 'call');
  await agent.click('#open-why');
  await agent.wait('explained', WAIT_LIMIT);
  await take(agent, 'why');
  await agent.click('#open-why');
  await customer.click('#open-keypad');
  await take(customer, 'keypad');
  await customer.click('#open-devices');
  await take(customer, 'devices');
  await customer.click('#numbers');
  await take(customer, 'details');
  await customer.click('#numbers');
  await customer.click('#hold');
  await agent.wait('held by the other side', WAIT_LIMIT);
  await take(agent, 'held');
  await customer.click('#leave');
  await agent.wait('ended', WAIT_LIMIT);
  await take(customer, 'customer-ended');
}

async function start(hue, tone) {
  const side = await Side.start({ browser: 'chromium', hue, tone });
  sides.push(side);
  return side;
}

/** One picture per screen and theme; the last leaves the page as a mouse expects it. */
async function take(side, scene) {
  for (const [name, screen] of Object.entries(SCREENS)) {
    for (const theme of ['dark', 'light']) {
      const path = `${given.out}/${scene}-${name}-${theme}.png`;
      await side.theme(theme);
      await side.screenshot(path, screen);
      process.stdout.write(`${JSON.stringify({ picture: path })}\n`);
    }
  }
}

async function finish(error) {
  clearTimeout(limit);
  await Promise.allSettled(sides.map((side) => side.end()));
  process.stdout.write(`${JSON.stringify({ step: 'done', ok: !error, error })}\n`);
  process.exit(error ? 1 : 0);
}
