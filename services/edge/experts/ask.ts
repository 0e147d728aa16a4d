import { type Bus, BusError } from '../../../shared/bus/bus.ts';
import { ATTRIBUTES } from '../../../shared/observe/names.ts';
import { type CallersTrace, inSpan, SpanKind, traceHeaders } from '../../../shared/observe/telemetry.ts';
import { elapsed } from '../../../shared/request/deadline.ts';
import { AppError } from '../../../shared/request/errors.ts';
import type { Body, EncodedBody } from '../../../shared/wire/body.ts';
import {
  type ClassifyReply,
  cancelSubject,
  classifySubject,
  decodeReply,
  type Expected,
  encodeCancel,
  encodeRequest,
  isAnswer,
} from '../../../shared/wire/expert-protocol.ts';
import { sizeOnBus } from '../../../shared/wire/message.ts';

/** Why the generalist answers although an expert should have. */
export type Degraded = 'timeout' | 'no-expert' | 'overloaded' | 'expert-error' | 'circuit-open';

export interface Question {
  expert: string;
  body: Body | EncodedBody;
  requestId: string;
  /** The trace that the caller sent, if any. */
  trace?: CallersTrace | undefined;
  /** Milliseconds to wait for the answer. */
  timeoutMs: number;
  /** The outputs that the reply must hold. */
  outputs: Expected;
  /** Names of outputs to ask for; undefined: the expert's choice. */
  wanted?: string[] | undefined;
  /**
   * Digest of the model that must answer. Another model's logits would be merged with the wrong temperature and
   * classes.
   */
  digest: string;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
  /** How many members of the queue group to ask at most. The next is asked if one serves another model. */
  tries: number;
}

export type ExpertAnswer = { bytesSent: number; roundTripMs: number } & (
  | { reply: ClassifyReply; degraded: null }
  /**
   * `reason`: an error code, or the bus's failure. `detail` is for the log. `cause` is set where the expert is not to
   * blame: the picture cannot get there or is refused, or another model is there.
   */
  | { reply: null; degraded: Degraded; cause?: 'picture' | 'other-model'; reason?: string; detail?: string }
);

const DIGITS = 16; // hex digits of a digest, enough to tell any two models apart

/**
 * Asks one expert. Every failure is a `degraded` reason, never an exception. When aborted it cancels the question at
 * the expert and resolves at once, with a reason that means nothing.
 *
 * During a roll-out the members of an expert's queue group serve different models, and the bus chooses which one is
 * asked. A member with another model refuses at once, and the question is sent again while there is time.
 */
export async function askExpert(bus: Bus, question: Question): Promise<ExpertAnswer> {
  const begun = performance.now();
  let bytesSent = 0;
  for (let tries = 1; ; tries++) {
    const answer = await askOnce(bus, { ...question, timeoutMs: question.timeoutMs - elapsed(begun) });
    bytesSent += answer.bytesSent;
    const over = answer.reply !== null || answer.cause !== 'other-model' || tries === question.tries;
    if (over || elapsed(begun) > question.timeoutMs - 1) return { ...answer, bytesSent, roundTripMs: elapsed(begun) };
  }
}

async function askOnce(bus: Bus, question: Question): Promise<ExpertAnswer> {
  const begun = performance.now();
  const subject = classifySubject(question.expert);
  return inSpan('send ask.v1.expert.{id}.classify', SpanKind.PRODUCER, async (span) => {
    const { requestId, body, timeoutMs, digest, wanted } = question;
    const modelDigest = digest.slice(0, DIGITS);
    const message = encodeRequest({ requestId, deadlineMs: timeoutMs, modelDigest, body, outputs: wanted });
    const headers = { ...message.headers, ...traceHeaders(requestId, question.trace) };
    const bytesSent = sizeOnBus({ payload: message.payload, headers });
    span.setAttributes({
      [ATTRIBUTES.busKind]: bus.kind,
      [ATTRIBUTES.busOperation]: 'send',
      [ATTRIBUTES.busSubject]: subject,
      [ATTRIBUTES.busBytes]: bytesSent,
    });
    try {
      const { signal } = question;
      const reply = decodeReply(
        await bus.request(subject, message.payload, { headers, timeoutMs, accepts: isAnswer, signal }),
        question.outputs,
      );
      if (reply.modelDigest !== question.digest) {
        throw new AppError('other-model', `expert runs model ${reply.modelDigest || '(unnamed)'}, not the bundle's`);
      }
      return { reply, degraded: null, bytesSent, roundTripMs: elapsed(begun) };
    } catch (error) {
      if (error instanceof BusError && error.failure === 'aborted') {
        bus.publish(cancelSubject(question.expert), encodeCancel(requestId));
        return { reply: null, degraded: 'timeout', bytesSent, roundTripMs: elapsed(begun) };
      }
      const degraded = toDegraded(error);
      span.setAttribute(ATTRIBUTES.degraded, degraded);
      span.recordException(error as Error);
      const nothingSent = error instanceof BusError && error.failure !== 'timeout' && error.failure !== 'unreadable';
      const cost = { bytesSent: nothingSent ? 0 : bytesSent, roundTripMs: elapsed(begun) };
      return { reply: null, degraded, ...toCause(error), ...toReason(error), ...cost };
    }
  });
}

function toCause(error: unknown): { cause?: 'picture' | 'other-model' } {
  if (error instanceof BusError) return error.failure === 'too-large' ? { cause: 'picture' } : {};
  if (!(error instanceof AppError) || error.status >= 500 || error.code === 'overloaded') return {};
  return { cause: error.code === 'other-model' ? 'other-model' : 'picture' };
}

function toReason(error: unknown): { reason: string; detail: string } {
  const detail = (error as Error).message.slice(0, 200);
  if (error instanceof BusError) return { reason: error.failure, detail };
  return { reason: error instanceof AppError ? error.code : 'internal', detail };
}

function toDegraded(error: unknown): Degraded {
  if (error instanceof BusError) {
    if (error.failure === 'no-responders' || error.failure === 'disconnected') return 'no-expert';
    if (error.failure === 'too-large' || error.failure === 'unreadable') return 'expert-error';
    return 'timeout';
  }
  if (error instanceof AppError) {
    if (error.code === 'overloaded') return 'overloaded';
    if (error.code === 'deadline-exceeded') return 'timeout';
    if (error.code === 'stopping') return 'no-expert';
  }
  return 'expert-error';
}
