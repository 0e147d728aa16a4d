import { runProcess } from '../../shared/service/run-process.ts';
import { startSystem } from './system.ts';

const usage = 'npm start: the whole system in one process: HTTP, generalist and all experts, without a broker';

await runProcess({ name: 'ask-the-expert', usage }, async (config, log) => {
  const system = await startSystem(config, log, { near: true });
  process.stdout.on('error', () => {}); // its reader may be gone or its disk full: the log says the same
  process.stdout.write(
    `Ask the Expert is ready: drop a picture on ${system.url} or post it to ${system.url}/classify\n`,
  );
  return system;
});
