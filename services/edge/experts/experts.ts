import type { Encoding } from '../../../shared/bundle/cascade.ts';
import type { Pixels } from '../../../shared/wire/picture.ts';
import type { Tensors } from '../../../shared/wire/tensor.ts';
import type { Degraded } from './ask.ts';
import { type Consultation, consult, mayStillArrive, RESERVE_MS, report } from './consult.ts';
import type { ExpertsContext } from './context.ts';
import { askHedged } from './hedge.ts';
import { createParcel, type Parcel } from './parcel.ts';
import { choosePayload, choosePixels } from './payload.ts';
import type { RequestContext } from './request-context.ts';

/** One question to a model elsewhere, as answers tell it. */
export interface Hop {
  to: string;
  /** Sent, payload and headers together. */
  bytes: number;
  /** How the picture or the tensors travelled; null if nothing did. */
  encoding: string | null;
  /** From the question to the reply. */
  ms: number;
  /** Of that, from the question's arrival there to the reply. */
  computeMs: number;
}

/** What came of asking. */
export interface Asked {
  /** Outputs of the model that answered; null if none did. */
  outputs: Tensors | null;
  answeredBy: string | null;
  degraded: Degraded | null;
  /** The decisive one first. */
  hops: Hop[];
}

/** Models on other devices, with all that asking them takes: health, hedging, packing, deadlines, metrics. */
export interface Experts {
  /** Others can be asked at all, just now. */
  readonly reachable: boolean;
  sheds(request: RequestContext): boolean;
  /** A picture as it travels: as `encoding` says, or the caller's file where that is smaller. */
  pack(pixels: Pixels, picture: Uint8Array | undefined, encoding: Encoding, request: RequestContext): Parcel;
  packTensors(tensors: Tensors, request: RequestContext): Parcel;
  /**
   * Asks the first model; if that fails or is slow, the next as well, if there is one. Whatever goes wrong is a `degraded`
   * reason. Rejects only when the caller has gone, with the signal's reason.
   */
  ask(models: [string, string?], parcel: Parcel, request: RequestContext): Promise<Asked>;
}

const DONE = new Error('answered'); // made once: an abort without a reason makes one each time, with its stack

export function createExperts(context: ExpertsContext): Experts {
  const { expertLog, metrics } = context;
  const pack = context.near ? choosePixels : choosePayload;

  function shed(model: string): Asked {
    metrics.escalations.inc({ expert: model, outcome: 'overloaded' });
    metrics.failures.inc({ reason: 'shed' });
    expertLog.escalated('shed');
    return { outputs: null, answeredBy: null, degraded: 'overloaded', hops: [] };
  }

  /** Asks as long as nobody is there who may still come. */
  async function askUntilThere(
    choices: [string, string?],
    parcel: Parcel,
    request: RequestContext,
    signal: AbortSignal,
  ) {
    const [first, second] = choices;
    const asked: Promise<Consultation>[] = [];
    const ask = (model: string) => {
      const consultation = consult(model, parcel, context, request, signal);
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
    pack: (pixels, picture, encoding, request) => createParcel(() => pack(pixels, picture, encoding), request),
    packTensors(tensors, request) {
      return createParcel(async () => ({ body: { tensors }, encoding: 'tensors' }), request);
    },
    async ask([first, runnerUp], parcel, request) {
      if (context.sheds(request.deadline)) return shed(first);
      const enough = new AbortController();
      const signal = AbortSignal.any([request.caller, enough.signal]);
      const choices: [string, string?] = context.secondChoice && runnerUp !== undefined ? [first, runnerUp] : [first];
      const { decisive, asked } = await askUntilThere(choices, parcel, request, signal);
      enough.abort(DONE);
      const all = await Promise.all(asked);
      request.caller.throwIfAborted();
      const { reply, degraded } = decisive;
      expertLog.escalated(reply === null ? (decisive.reason ?? degraded) : null);
      const others = all.filter((one) => one !== decisive && one.bytesSent > 0);
      const encoding = all.some(({ bytesSent }) => bytesSent > 0) ? ((await parcel.open())?.encoding ?? null) : null;
      const hops = [decisive, ...others].map(({ expert, bytesSent, roundTripMs, reply }) => ({
        to: expert,
        bytes: bytesSent,
        encoding: bytesSent > 0 ? encoding : null,
        ms: roundTripMs,
        computeMs: reply?.expertMs ?? 0,
      }));
      return { outputs: reply?.outputs ?? null, answeredBy: reply && decisive.expert, degraded, hops };
    },
  };
}
