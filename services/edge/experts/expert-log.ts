import type { Log } from '../../../shared/observe/log.ts';
import { rateLimited } from '../../../shared/observe/rate-limited-log.ts';
import type { CircuitChange } from './circuit.ts';

/** Log lines about experts. A lasting fault takes a few lines, however many requests meet it. */
export interface ExpertLog {
  /** An expert was asked and did not answer. */
  failed(expert: string, reason: string, detail: string): void;
  circuit(expert: string, change: CircuitChange): void;
  /** The outcome of an escalation; null: an expert answered. */
  escalated(failure: string | null): void;
}

const LASTING_MS = 5000;
const LASTING = 3; // in a row
const CHANGES = 10; // changes of one kind that are logged before they count as flapping

export function createExpertLog(log: Log, now: () => number = () => performance.now()): ExpertLog {
  const say = rateLimited(log);
  const tell = rateLimited(log, { atOnce: CHANGES });
  let failures = 0; // in a row
  let since = 0;
  let told = false;

  return {
    failed(expert, reason, detail) {
      say('warn', `${expert} ${reason}`, { expert, reason, detail }, 'an expert did not answer');
    },
    circuit(expert, { state, reason }) {
      const fields = { expert, state, reason };
      if (state === 'closed') tell('info', `${expert} ${state}`, fields, 'an expert answers again');
      else tell('warn', `${expert} ${state}`, fields, 'an expert is not asked any more, but for probes');
    },
    escalated(failure) {
      if (failure === null) {
        if (told) tell('info', 'escalations', { failures }, 'escalations are answered again');
        failures = 0;
        told = false;
        return;
      }
      if (failures === 0) since = now();
      failures += 1;
      if (told || failures < LASTING || now() - since < LASTING_MS) return;
      told = true;
      const fields = { reason: failure, failures, seconds: Math.round((now() - since) / 1000) };
      tell('error', 'no escalations', fields, 'every escalation fails: the generalist answers alone');
    },
  };
}
