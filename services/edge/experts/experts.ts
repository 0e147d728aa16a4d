import type { Encoding } from '../../../shared/bundle/cascade.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';
import type { Tensors } from '../../../shared/wire/tensor.ts';
import { encodeTensors } from '../../../shared/wire/tensor-codec.ts';
import type { Degraded } from './ask.ts';
import { type Consultation, consult, mayStillArrive, RESERVE_MS, report } from './consult.ts';
import type { ExpertsContext } from './context.ts';
import { askHedged } from './hedge.ts';
import { createParcel, type Parcel } from './parcel.ts';
import { choosePayload, choosePixels } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** One question to a remote model, as the answer reports it. */
export interface Hop {
  to: string;
  /** Bytes sent, payload and headers together. */
  bytes: number;
  /** How the picture or the tensors were encoded; null if nothing was sent. */
  encoding: string | null;
  /** From the question to the reply. */
  ms: number;
  /** Of that, the time at the remote side, from the question's arrival to the reply. */
  computeMs: number;
}

/** The outcome of asking. */
export interface Asked {
  /** Outputs of the model that answered; null if none did. */
  outputs: Tensors | null;
  answeredBy: string | null;
  degraded: Degraded | null;
  /** Why nobody answered: the code of the error, or what the bus says; null if somebody did. */
  reason: string | null;
  /** The decisive one first. */
  hops: Hop[];
}

/** Remote models. Asking them covers circuits, hedging, encoding, deadlines and metrics. */
export interface Experts {
  /** Whether the bus is connected. */
  readonly reachable: boolean;
  sheds(request: RequestContext): boolean;
  /**
   * The payload of a picture: encoded as `encoding` says, or the caller's file where that is smaller. Pixels that are
   * not made yet are made when the payload is needed.
   */
  pack(
    pixels: Pixels | (() => Promise<Pixels>),
    picture: Uint8Array | undefined,
    encoding: Encoding,
    request: RequestContext,
  ): Parcel;
  packTensors(tensors: Tensors, request: RequestContext): Parcel;
  /**
   * Asks the first model, and the second too if the first fails or is slow. `parcel`: what they are sent, or what each
   * is. `outputs`: the names of those that come back; by default the logits for a picture, all for tensors. Every
   * failure is a `degraded` reason. Rejects only when the caller has gone, with the signal's reason.
   */
  ask(
    models: [string, string?],
    parcel: Parcel | ((model: string) => Parcel),
    request: RequestContext,
    outputs?: string[],
  ): Promise<Asked>;
}

// made once: `abort()` without a reason would create an error with a stack each time
const DONE = new Error('answered');

export function createExperts(context: ExpertsContext): Experts {
  const { expertLog, metrics } = context;
  const pack = context.near ? choosePixels : choosePayload;

  function shed(model: string): Asked {
    metrics.escalations.inc({ expert: model, outcome: 'overloaded' });
    metrics.failures.inc({ reason: 'shed' });
    expertLog.escalated('shed');
    return { outputs: null, answeredBy: null, degraded: 'overloaded', reason: 'shed', hops: [] };
  }

  /** Asks again while an expert that is still starting is missing. */
  async function askUntilThere(
    choices: [string, string?],
    parcelFor: (model: string) => Parcel,
    request: RequestContext & { outputs: string[] | undefined },
    signal: AbortSignal,
  ) {
    const [first, second] = choices;
    const asked: Promise<Consultation>[] = [];
    const ask = (model: string) => {
      const consultation = consult(model, parcelFor(model), context, request, signal);
      asked.push(consultation);
      return consultation;
    };
    const askBest = () => {
      if (second === undefined) return ask(first);
      const slowMs = context.health(first).p95Ms;
      return askHedged({ first: () => ask(first), second: () => ask(second), slowMs, budget: context.hedges });
    };
    let decisive = await askBest();
    while (mayStillArrive(decisive, context)) {
      const names = choices.filter((name) => name !== undefined);
      const come = await context.arrivals.wait(names, request.deadline.left - RESERVE_MS, signal);
      if (!come) {
        if (!request.caller.aborted) report(decisive, context);
        break;
      }
      decisive = await askBest();
    }
    return { decisive, asked };
  }

  return {
    get reachable() {
      return context.bus.connected;
    },
    sheds: ({ deadline }) => context.sheds(deadline),
    pack(pixels, picture, encoding, request) {
      const make = async () => pack('pixels' in pixels ? pixels : await pixels(), picture, encoding);
      return createParcel(make, request);
    },
    packTensors(tensors, request) {
      return createParcel(async () => ({ body: encodeTensors(tensors), encoding: 'tensors' }), request);
    },
    async ask([first, runnerUp], parcel, request, outputs) {
      if (context.sheds(request.deadline)) return shed(first);
      const enough = new AbortController();
      const signal = AbortSignal.any([request.caller, enough.signal]);
      const choices: [string, string?] = context.secondChoice && runnerUp !== undefined ? [first, runnerUp] : [first];
      const parcelFor = typeof parcel === 'function' ? once(parcel) : () => parcel;
      const { decisive, asked } = await askUntilThere(choices, parcelFor, { ...request, outputs }, signal);
      enough.abort(DONE);
      const all = await Promise.all(asked);
      request.caller.throwIfAborted();
      const { reply, degraded } = decisive;
      const reason = reply === null ? (decisive.reason ?? degraded) : null;
      expertLog.escalated(reason);
      const others = all.filter((one) => one !== decisive && one.bytesSent > 0);
      const hops = await Promise.all([decisive, ...others].map((one) => toHop(one, parcelFor(one.expert))));
      return { outputs: reply?.outputs ?? null, answeredBy: reply && decisive.expert, degraded, reason, hops };
    },
  };
}

/** A parcel for each model, asked for once. */
function once(make: (model: string) => Parcel): (model: string) => Parcel {
  const made = new Map<string, Parcel>();
  return (model) => {
    const parcel = made.get(model) ?? make(model);
    made.set(model, parcel);
    return parcel;
  };
}

async function toHop({ expert, bytesSent, roundTripMs, reply }: Consultation, parcel: Parcel): Promise<Hop> {
  return {
    to: expert,
    bytes: bytesSent,
    encoding: bytesSent > 0 ? ((await parcel.open())?.encoding ?? null) : null,
    ms: roundTripMs,
    computeMs: reply?.expertMs ?? 0,
  };
}
