import { trace } from '@opentelemetry/api';
import { pictureInput } from '../../shared/bundle/inputs.ts';
import type { ModelEntry, PictureRule } from '../../shared/bundle/model.ts';
import type { Bus, BusMessage } from '../../shared/bus/bus.ts';
import type { Inference } from '../../shared/inference/job.ts';
import { findMistake } from '../../shared/inference/match-inputs.ts';
import type { ExpertMetrics } from '../../shared/observe/expert-metrics.ts';
import { ATTRIBUTES } from '../../shared/observe/names.ts';
import { inSpan, SpanKind } from '../../shared/observe/telemetry.ts';
import type { Backlog } from '../../shared/request/backlog.ts';
import { Deadline, elapsed, unlessAborted } from '../../shared/request/deadline.ts';
import { AppError, toAppError } from '../../shared/request/errors.ts';
import type { Body } from '../../shared/wire/body.ts';
import { decodeCancel, decodeRequest, encodeReply } from '../../shared/wire/expert-protocol.ts';
import type { Message } from '../../shared/wire/message.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import type { Tensors } from '../../shared/wire/tensor.ts';
import { widen } from '../../shared/wire/tensor-codec.ts';

export interface HostedModel {
  id: string;
  model: ModelEntry;
}

interface HandlerOptions {
  expert: HostedModel;
  /** A file's bytes -> pixels by a rule. Rejects with AppError. */
  decode(bytes: Uint8Array, rule: PictureRule, deadline: Deadline): Promise<Pixels>;
  infer(inputs: Tensors, deadline: Deadline): Promise<Inference>;
  /** Of all experts of this process together. */
  backlog: Backlog;
  /** The kind of bus that requests come from. */
  system: Bus['kind'];
  metrics: ExpertMetrics;
}

export interface Handler {
  /** Handles one request: checks it, runs the model unless the deadline has passed, answers with the logits. */
  handle(message: BusMessage): Promise<Message>;
  /** Cancels a request that nobody waits for: it is never run, unless it is running already. */
  cancel(message: BusMessage): void;
}

const UUID = 36; // characters

/** Handles the requests to one expert. */
export function createHandler(options: HandlerOptions): Handler {
  const { expert, decode, infer, backlog, system, metrics } = options;
  const input = pictureInput(expert.model);
  const working = new Map<string, AbortController>();

  async function classify(message: BusMessage): Promise<Message> {
    const arrived = performance.now();
    const { body, deadlineMs, modelDigest, requestId, outputs: wanted } = decodeRequest(message);
    // Of the edge's answer; what follows it tells the questions of one request apart.
    trace.getActiveSpan()?.setAttribute(ATTRIBUTES.requestId, requestId.slice(0, UUID));
    if (modelDigest !== undefined && !expert.model.sha256.startsWith(modelDigest)) {
      throw new AppError('other-model', `this is model ${expert.model.sha256}, ${modelDigest} is wanted`);
    }
    const question = adapt(expert, body);
    checkOutputs(expert, wanted);
    if (deadlineMs <= 0) throw new AppError('deadline-exceeded', 'the deadline had passed on arrival');
    if (backlog.waitMs > deadlineMs) {
      const waiting = `about ${Math.ceil(backlog.waitMs)} ms of work are waiting`;
      throw new AppError('overloaded', `${waiting}, ${deadlineMs} ms are left`);
    }
    const asked = new AbortController();
    if (requestId !== '') working.set(requestId, asked);
    using _ = { [Symbol.dispose]: () => working.delete(requestId) };
    using deadline = new Deadline(deadlineMs, asked.signal);
    using work = backlog.begin();
    const { outputs, queueMs, runMs } = await infer(await toInputs(question, deadline), deadline);
    work.done();
    metrics.duration.observe({ expert: expert.id, stage: 'queue' }, queueMs / 1000);
    metrics.duration.observe({ expert: expert.id, stage: 'compute' }, runMs / 1000);
    const reply = { outputs, expertMs: elapsed(arrived), modelDigest: expert.model.sha256 };
    return encodeReply(reply, { body, outputs: wanted });
  }

  async function toInputs(body: Body, deadline: Deadline): Promise<Tensors> {
    if ('tensors' in body) return body.tensors;
    const { name, rule } = input as { name: string; rule: PictureRule };
    const { pixels } =
      'pixels' in body ? body : await unlessAborted(deadline.signal, decode(body.bytes, rule, deadline));
    return { [name]: { type: 'uint8', shape: [1, rule.side, rule.side, 3], data: pixels } };
  }

  const handle = (message: BusMessage): Promise<Message> =>
    inSpan(
      'process ask.v1.expert.{id}.classify',
      SpanKind.CONSUMER,
      async (span) => {
        span.setAttributes({
          [ATTRIBUTES.busKind]: system,
          [ATTRIBUTES.busOperation]: 'process',
          [ATTRIBUTES.busSubject]: message.subject,
          [ATTRIBUTES.expertId]: expert.id,
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

/** The body as the model takes it. Throws AppError `invalid-parameter` if the model cannot. */
function adapt({ id, model }: HostedModel, body: Body): Body {
  const wrong = (what: string) => new AppError('invalid-parameter', `model ${id}: ${what}`);
  if ('tensors' in body) {
    const tensors = widen(body.tensors, model.inputs);
    const mistake = findMistake(tensors, model);
    if (mistake) throw wrong(mistake);
    return { tensors };
  }
  const input = pictureInput(model);
  if (input === undefined) throw wrong(`it takes no picture but the tensors ${Object.keys(model.inputs).join(', ')}`);
  const { side } = input.rule;
  if ('pixels' in body && (body.width !== side || body.height !== side)) {
    throw wrong(`${body.width} x ${body.height} pixels, expected ${side} x ${side}`);
  }
  return body;
}

/** Throws AppError `invalid-parameter` if the model has not all outputs that are asked for. */
function checkOutputs({ id, model }: HostedModel, wanted: string[] | undefined): void {
  const unknown = wanted?.find((name) => !Object.hasOwn(model.outputs, name));
  if (unknown === undefined) return;
  const known = Object.keys(model.outputs).join(', ');
  throw new AppError(
    'invalid-parameter',
    `model ${id}: there is no output '${unknown.slice(0, 100)}', there are ${known}`,
  );
}
