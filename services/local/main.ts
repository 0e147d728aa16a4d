import { runProcess } from '../../shared/process.ts';
import { startSystem } from './system.ts';

const usage = 'npm start: the whole system in one process: HTTP, generalist and all experts, without a broker';

await runProcess({ name: 'ask-the-expert', usage }, startSystem);
