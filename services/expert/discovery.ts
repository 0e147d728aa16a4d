import { randomUUID } from 'node:crypto';
import type { Bus, BusMessage, Subscription } from '../../shared/bus/bus.ts';
import { VERSION } from '../../shared/settings/version.ts';
import { classifySubject, EXPERT_QUEUE, SERVICE_NAME } from '../../shared/wire/expert-protocol.ts';
import type { HostedModel } from './handler.ts';

export interface ExpertStats {
  requests: number;
  errors: number;
  lastError: string;
  /** Milliseconds, all requests together. */
  processingMs: number;
}

interface Announced extends HostedModel {
  classes: number[];
}

/**
 * Answers `$SRV.PING|INFO|STATS` for one expert, as ADR-32 (NATS services) says. The metadata holds what a router needs
 * to know.
 */
export function announce(bus: Bus, expert: Announced, stats: ExpertStats): { stop(): Promise<void> } {
  const subject = classifySubject(expert.id);
  const started = new Date().toISOString();
  const identity = {
    name: SERVICE_NAME,
    id: randomUUID().replaceAll('-', ''),
    version: VERSION,
    metadata: {
      expert: expert.id,
      classes: expert.classes.join(','),
      digest: expert.model.sha256,
      precision: expert.model.precision,
      accuracy: String(expert.model.figures.validationAccuracyOwnClasses ?? ''),
    },
  };
  const endpoint = { name: 'classify', subject, queue_group: EXPERT_QUEUE };
  const responses: Record<string, () => object> = {
    PING: () => ({ ...identity, type: 'io.nats.micro.v1.ping_response' }),
    INFO: () => ({
      ...identity,
      type: 'io.nats.micro.v1.info_response',
      description: `expert for ${expert.classes.length} classes`,
      endpoints: [{ ...endpoint, metadata: {} }],
    }),
    STATS: () => ({
      ...identity,
      type: 'io.nats.micro.v1.stats_response',
      started,
      endpoints: [
        {
          ...endpoint,
          num_requests: stats.requests,
          num_errors: stats.errors,
          last_error: stats.lastError,
          processing_time: Math.round(stats.processingMs * 1e6),
          average_processing_time: Math.round((stats.processingMs * 1e6) / Math.max(1, stats.requests)),
        },
      ],
    }),
  };
  const subscriptions: Subscription[] = [];
  for (const [verb, respond] of Object.entries(responses)) {
    const answer = (message: BusMessage) => message.respond(Buffer.from(JSON.stringify(respond())), {});
    for (const suffix of ['', `.${SERVICE_NAME}`, `.${SERVICE_NAME}.${identity.id}`]) {
      subscriptions.push(bus.subscribe(`$SRV.${verb}${suffix}`, answer));
    }
  }
  return {
    async stop() {
      await Promise.all(subscriptions.map((subscription) => subscription.drain()));
    },
  };
}
