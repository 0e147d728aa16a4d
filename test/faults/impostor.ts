import { setTimeout as sleep } from 'node:timers/promises';
import { connectNats } from '../../shared/bus/nats/connection.ts';
import { createLog } from '../../shared/observe/log.ts';
import { classifySubject, EXPERT_QUEUE } from '../../shared/wire/expert-protocol.ts';
import { logitsReply } from '../support/protocol.ts';
import type { ExpertName, World } from './world.ts';

type Reply = { payload: Uint8Array; headers: Record<string, string> };

/** Takes an expert's place and answers as `spoil` makes of a right answer. */
export function impostor(name: ExpertName, spoil: (right: Reply) => Reply | Promise<Reply>) {
  let bus: ReturnType<typeof connectNats> | undefined;
  return {
    async inject(world: World) {
      world.experts[name].kill('SIGTERM');
      await world.experts[name].exited;
      bus = connectNats({ servers: [world.broker.url], name: 'impostor', log: createLog('silent', 'test') });
      const modelDigest = world.bundle.manifest.models[name]?.sha256 as string;
      const right = () => logitsReply(Float32Array.of(0, 0, 0, 9), modelDigest);
      const answer = async (message: { respond(payload: Uint8Array, headers: Record<string, string>): void }) => {
        const { payload, headers } = await spoil(right());
        message.respond(payload, headers);
      };
      bus.subscribe(classifySubject(name), (message) => void answer(message), EXPERT_QUEUE);
      while (!bus.connected) await sleep(10);
      await bus.flush();
    },
    async heal(world: World) {
      await bus?.close();
      await world.startExpert(name);
    },
  };
}

/** Half-precision numbers that are none. */
export function allNan(right: Reply): Reply {
  const payload = new Uint8Array(right.payload.length);
  for (let i = 0; i < payload.length; i += 2) payload.set([0x00, 0x7e], i);
  return { ...right, payload };
}
