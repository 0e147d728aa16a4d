import { trace } from '@opentelemetry/api';
import type { ModelEntry } from '../../shared/bundle/load.ts';
import type { Bus, BusMessage, Reply } from '../../shared/bus/bus.ts';
import type { Inference } from '../../shared/inference/job.ts';
import type { ExpertMetrics } from '../../shared/observe/expert-metrics.ts';
import { inSpan, SpanKind } from '../../shared/observe/telemetry.ts';
import { Deadline, elapsed, unlessAborted } from '../../shared/request/deadline.ts';
import { AppError, toAppError } from '../../shared/request/errors.ts';
import type { Pace } from '../../shared/request/pace.ts';
import { decodeCancel, decodeRequest, encodeReply, type RawImage } from '../../shared/wire/expert-protocol.ts';

export interface HandlerOptions {
  expert: ModelEntry;
  /** Side of the square of pixels that the bundle's models take. */
  inputSize: number;
  /** A file's bytes -> that square. Rejects with AppError. */
  decode(bytes: Uint8Array, deadline: Deadline): Promise<RawImage>;
  infer(pixels: Uint8Array, deadline: Deadline): Promise<Inference>;
  /** Of all experts of this process together. */
  pace: Pace;
  /** What kind of bus the requests come from. */
  system: Bus['kind'];
  metrics: ExpertMetrics;
}

export interface Handler {
  /** One request: check, compute unless the deadline has passed, answer with the logits. */
  handle(message: BusMessage): Promise<Reply>;
  /** Nobody waits for the answer to this request any more: unless it is being computed already, it never is. */
  cancel(message: BusMessage): void;
}

/** The requests to one expert. */
export function createHandler(options: HandlerOptions): Handler {
  const { expert, inputSize, decode, infer, pace, system, metrics } = options;
  const working = new Map<string, AbortController>();

  async function classify(message: BusMessage): Promise<Reply> {
    const arrived = performance.now();
    const { image: sent, deadlineMs, modelDigest, requestId } = decodeRequest(message);
    trace.getActiveSpan()?.setAttribute('ask.request_id', requestId);
    if (modelDigest !== undefined && !expert.sha256.startsWith(modelDigest)) {
      throw new AppError('other-model', `this is model ${expert.sha256}, ${modelDigest} is wanted`);
    }
    if ('pixels' in sent && (sent.width !== inputSize || sent.height !== inputSize)) {
      const sizes = `${sent.width} x ${sent.height} pixels, expected ${inputSize} x ${inputSize}`;
      throw new AppError('invalid-parameter', sizes);
    }
    if (deadlineMs <= 0) throw new AppError('deadline-exceeded', 'the deadline had passed on arrival');
    if (pace.waitMs > deadlineMs) {
      const backlog = `about ${Math.ceil(pace.waitMs)} ms of work are waiting`;
      throw new AppError('overloaded', `${backlog}, ${deadlineMs} ms are left`);
    }
    const wanted = new AbortController();
    if (requestId !== '') working.set(requestId, wanted);
    using _ = { [Symbol.dispose]: () => working.delete(requestId) };
    using deadline = new Deadline(deadlineMs, wanted.signal);
    using work = pace.begin();
    const image = 'pixels' in sent ? sent : await unlessAborted(deadline.signal, decode(sent.bytes, deadline));
    const { outputs, queueMs, runMs } = await infer(image.pixels, deadline);
    work.done();
    metrics.duration.observe({ expert: expert.id, stage: 'queue' }, queueMs / 1000);
    metrics.duration.observe({ expert: expert.id, stage: 'compute' }, runMs / 1000);
    const logits = outputs.logits as Float32Array;
    return encodeReply({ logits, expertMs: elapsed(arrived), modelDigest: expert.sha256 });
  }

  const handle = (message: BusMessage): Promise<Reply> =>
    inSpan(
      'process ask.v1.expert.{id}.classify',
      SpanKind.CONSUMER,
      async (span) => {
        span.setAttributes({
          'messaging.system': system,
          'messaging.operation.name': 'process',
          'messaging.destination.name': message.subject,
          'expert.id': expert.id,
        });
        try {
          const reply = await classify(message);
          metrics.requests.inc({ expert: expert.id, outcome: 'answered' });
          return reply;
        } catch (thrown) {
          metrics.requests.inc({ expert: expert.id, outcome: toAppError(thrown).code });
          throw thrown;
        }
      },
      message.headers,
    );

  return {
    handle,
    cancel(message) {
      working.get(decodeCancel(message))?.abort(new AppError('client-closed', 'the answer is not wanted any more'));
    },
  };
}
