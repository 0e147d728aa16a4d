import { type Bus, BusError } from '../../shared/bus.ts';
import { elapsed } from '../../shared/deadline.ts';
import { AppError } from '../../shared/errors.ts';
import { inSpan, SpanKind, traceHeaders } from '../../shared/telemetry.ts';
import {
  type ClassifyReply,
  classifySubject,
  decodeReply,
  encodeRequest,
  type RawImage,
  sizeOnBus,
} from '../../shared/wire.ts';

/** Why an answer that should have been an expert's is the generalist's. */
export type Degraded = 'timeout' | 'no-expert' | 'overloaded' | 'expert-error' | 'circuit-open';

export interface Question {
  expert: string;
  image: RawImage;
  requestId: string;
  /** Milliseconds to wait for the answer. */
  timeoutMs: number;
  /** Length of the logits to expect. */
  labels: number;
  signal?: AbortSignal;
}

export type ExpertAnswer = { bytesSent: number; roundTripMs: number } & (
  | { reply: ClassifyReply; degraded: null }
  | { reply: null; degraded: Degraded }
);

/** Asks one expert once. Whatever goes wrong is a `degraded` reason, never an exception. */
export async function askExpert(bus: Bus, question: Question): Promise<ExpertAnswer> {
  const begun = performance.now();
  const subject = classifySubject(question.expert);
  return inSpan('send ask.v1.expert.{id}.classify', SpanKind.PRODUCER, async (span) => {
    const { requestId, image, timeoutMs } = question;
    const message = encodeRequest({ requestId, deadlineMs: timeoutMs, image });
    const headers = { ...message.headers, ...traceHeaders() };
    const bytesSent = sizeOnBus({ payload: message.payload, headers });
    span.setAttributes({
      'messaging.system': bus.kind,
      'messaging.operation.name': 'send',
      'messaging.destination.name': subject,
      'messaging.message.envelope.size': bytesSent,
    });
    try {
      const options = { headers, timeoutMs, ...(question.signal ? { signal: question.signal } : {}) };
      const reply = decodeReply(await bus.request(subject, message.payload, options), question.labels);
      return { reply, degraded: null, bytesSent, roundTripMs: elapsed(begun) };
    } catch (error) {
      const degraded = toDegraded(error);
      span.setAttribute('routing.degraded', degraded);
      span.recordException(error as Error);
      const nothingSent = error instanceof BusError && error.failure !== 'timeout' && error.failure !== 'aborted';
      return { reply: null, degraded, bytesSent: nothingSent ? 0 : bytesSent, roundTripMs: elapsed(begun) };
    }
  });
}

function toDegraded(error: unknown): Degraded {
  if (error instanceof BusError) {
    if (error.failure === 'no-responders' || error.failure === 'disconnected') return 'no-expert';
    if (error.failure === 'too-large') return 'expert-error';
    return 'timeout';
  }
  if (error instanceof AppError) {
    if (error.code === 'overloaded') return 'overloaded';
    if (error.code === 'deadline-exceeded') return 'timeout';
    if (error.code === 'stopping') return 'no-expert';
  }
  return 'expert-error';
}
