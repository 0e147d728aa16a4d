import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';
import { allNan, impostor } from './impostor.ts';
import { childrenOf } from './resources.ts';
import type { World } from './world.ts';

const modelProcess = (pid: number) => childrenOf(pid)[0] as number;

/** Kills the process that runs a service's models, again and again, as the kernel does when memory runs out. */
async function killModels(service: { pid: number }): Promise<void> {
  for (let i = 0; i < 3; i++) {
    for (const pid of childrenOf(service.pid)) process.kill(pid, 'SIGKILL');
    await sleep(1000); // a picture is tried on two processes
  }
}

/**
 * Files that a process may open, the soft limit alone: that can be raised again. Without a count: as many as it may.
 */
function limitFiles(pid: number, count?: number): void {
  const limits = ['--pid', String(pid), '--nofile'];
  const most = () => execFileSync('prlimit', [...limits, '--output=HARD', '--noheadings'], { encoding: 'utf8' }).trim();
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count ?? most()}:`]);
}

const clockJump = {
  NODE_OPTIONS: `--import=${new URL('./clock-jump.ts', import.meta.url).href}`,
};

export const faults: Fault[] = [
  {
    name: 'broker killed and restarted',
    inject: ({ broker }) => broker.stop(),
    heal: (world) => world.restartBroker(),
    truth: ['no-expert'],
    also: ['timeout'], // what was under way
    lastsMs: 8000, // some hundred answers of each kind to compare
    gone: true,
  },
  {
    name: 'broker frozen',
    inject: ({ broker }) => broker.kill('SIGSTOP'),
    heal: ({ broker }) => broker.kill('SIGCONT'),
    truth: ['timeout', 'circuit-open'],
  },
  {
    name: 'expert killed in the middle of requests',
    inject: ({ experts }) => experts.warm.kill('SIGKILL'),
    heal: (world) => world.startExpert('warm'),
    truth: ['no-expert'],
    also: ['timeout'],
    lastsMs: 8000, // some hundred answers of each kind to compare
    gone: true,
  },
  {
    name: 'expert frozen',
    inject: ({ experts }) => experts.warm.kill('SIGSTOP'),
    heal: ({ experts }) => experts.warm.kill('SIGCONT'),
    truth: ['timeout', 'circuit-open'],
  },
  {
    name: 'expert frozen, the runner-up answers',
    world: () => ({
      bundle: {
        change: ({ routing }) => {
          routing.k = 4;
        },
      },
    }),
    inject: ({ experts }) => experts.warm.kill('SIGSTOP'),
    heal: ({ experts }) => experts.warm.kill('SIGCONT'),
    truth: [],
    also: ['timeout', 'circuit-open'], // more at once than may be asked twice
  },
  {
    name: 'expert answers late',
    ...impostor('warm', async (right) => {
      await sleep(1300);
      return right;
    }),
    lastsMs: 4500,
    truth: ['circuit-open'],
    also: ['no-expert', 'timeout'],
  },
  {
    name: 'expert answers garbage',
    ...impostor('warm', () => ({ payload: Buffer.from('?!\0'), headers: { 'Ask-Payload': 'nonsense' } })),
    truth: ['circuit-open'],
    also: ['no-expert', 'expert-error'],
  },
  {
    name: 'expert answers in the wrong shape',
    ...impostor('warm', (right) => ({ ...right, payload: right.payload.subarray(2) })),
    truth: ['circuit-open'],
    also: ['no-expert', 'expert-error'],
  },
  {
    name: 'expert answers NaN',
    ...impostor('warm', allNan),
    truth: ['circuit-open'],
    also: ['no-expert', 'expert-error'],
  },
  {
    name: 'expert of another protocol version',
    ...impostor('warm', (right) => ({
      ...right,
      headers: { ...right.headers, 'Ask-Payload': 'logits/f16; version=2' },
    })),
    truth: ['circuit-open'],
    also: ['no-expert', 'expert-error'],
  },
  {
    name: 'slow link',
    inject: ({ link }) => link.set({ delayMs: 700, bytesPerSecond: 20_000 }),
    heal: ({ link }) => link.heal(),
    truth: ['timeout'],
    also: ['circuit-open'],
  },
  {
    name: 'lossy link',
    inject: ({ link }) => link.set({ delayMs: 5, loss: 0.1 }),
    heal: ({ link }) => link.heal(),
    truth: [],
    also: ['timeout', 'circuit-open'],
  },
  {
    name: 'partition and healing',
    inject: ({ link }) => link.set({ stalled: true }),
    heal: ({ link }) => link.heal(),
    truth: ['timeout', 'circuit-open'],
  },
  {
    name: 'full disk for the log',
    world: () => ({ edgeLog: openSync('/dev/full', 'w') }),
    inject: ({ broker }) => broker.stop(), // something to write about
    heal: (world) => world.restartBroker(),
    truth: ['no-expert'],
    also: ['timeout'],
  },
  {
    name: 'trace collector down',
    world: () => ({ collector: 'down' }),
    inject: () => {},
    truth: [],
    untraced: true,
  },
  {
    name: 'trace collector that never answers',
    world: () => ({ collector: 'silent' }),
    inject: () => {},
    truth: [],
    untraced: true,
  },
  {
    name: 'clock an hour ahead, then two back',
    world: () => ({ edge: clockJump }),
    inject: async ({ edge }: World) => {
      edge.kill('SIGWINCH');
      await sleep(1000);
      edge.kill('SIGWINCH');
    },
    truth: [],
  },
  {
    name: "edge's model process killed, as for memory",
    inject: ({ edge }) => killModels(edge),
    deadlineMs: 2000,
    truth: [],
  },
  {
    name: "expert's model process killed, as for memory",
    inject: ({ experts }) => killModels(experts.warm),
    deadlineMs: 2000,
    truth: [],
    also: ['expert-error', 'timeout', 'circuit-open'], // one that dies twice under the same picture
  },
  {
    name: "edge's model process hangs",
    inject: ({ edge }) => process.kill(modelProcess(edge.pid), 'SIGSTOP'),
    deadlineMs: 4000,
    truth: [],
  },
  {
    name: "expert's model process hangs",
    inject: ({ experts }) => process.kill(modelProcess(experts.warm.pid), 'SIGSTOP'),
    truth: [],
    also: ['timeout', 'circuit-open'],
  },
  {
    name: 'memory limit: a heap of 64 MB and bodies of 8 MB',
    world: () => ({ edge: { NODE_OPTIONS: '--max-old-space-size=64' } }),
    inject: ({ crowds }) => crowds.largeBodies(24, 8_000_000),
    heal: ({ crowds }) => crowds.disperse(),
    deadlineMs: 2000,
    refused: [429], // while the memory for bodies is taken
    truth: [],
  },
  {
    name: 'no file descriptors left',
    inject: ({ edge, crowds }) => {
      limitFiles(edge.pid, 16);
      return crowds.silent(100);
    },
    heal: async ({ edge, crowds }) => {
      limitFiles(edge.pid);
      await crowds.disperse();
    },
    truth: [],
  },
  {
    name: '1,000 clients that connect and say nothing',
    inject: ({ crowds }) => crowds.silent(1000),
    heal: ({ crowds }) => crowds.disperse(),
    truth: [],
  },
  {
    name: '300 slow bodies',
    inject: ({ crowds }) => crowds.slowBodies(300),
    heal: ({ crowds }) => crowds.disperse(),
    truth: [],
  },
];
