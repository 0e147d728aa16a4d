import { z } from 'zod';
import type { Bus } from '../../../shared/bus/bus.ts';
import { SERVICE_NAME } from '../../../shared/wire/expert-protocol.ts';

const WAIT_MS = 200;
const ping = z.object({ id: z.string(), metadata: z.object({ expert: z.string(), digest: z.string() }) });

interface Instance {
  id: string;
  expert: string;
  digest: string;
}

export interface Directory {
  list(): Promise<Instance[]>;
}

/** Lists the expert instances on the bus (ADR-32 ping). Concurrent callers share one ping. Empty without a bus. */
export function createDirectory(bus: Bus): Directory {
  let asking: Promise<Instance[]> | undefined;

  async function ask(): Promise<Instance[]> {
    const replies = await bus.requestMany(`$SRV.PING.${SERVICE_NAME}`, WAIT_MS).catch(() => []);
    return replies.flatMap(({ payload }) => {
      const parsed = ping.safeParse(parseJson(payload));
      return parsed.success ? [{ id: parsed.data.id, ...parsed.data.metadata }] : [];
    });
  }

  return {
    list() {
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      return asking;
    },
  };
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    return undefined;
  }
}
