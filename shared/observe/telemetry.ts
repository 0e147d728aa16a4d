import { setTimeout as sleep } from 'node:timers/promises';
import {
  context,
  type DiagLogger,
  DiagLogLevel,
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { AppError } from '../request/errors.ts';
import { ignoreTelemetryLogLevel, wantsTraces } from '../settings/settings.ts';
import type { Log } from './log.ts';
import { rateLimited } from './rate-limited-log.ts';

/**
 * Starts OpenTelemetry if an `OTEL_*` setting asks for traces; otherwise nothing is loaded and spans cost nothing.
 * Traces that cannot be exported never stop the service: OpenTelemetry's complaints go to the log.
 */
export async function startTelemetry(serviceName: string, log: Log): Promise<{ stop(): Promise<void> }> {
  if (!wantsTraces()) return { stop: async () => {} };
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const complain = createComplaints(log);
  ignoreTelemetryLogLevel();
  diag.setLogger(complain, DiagLogLevel.WARN);
  try {
    const sdk = new NodeSDK({ serviceName, instrumentations: [], metricReaders: [], logRecordProcessors: [] });
    sdk.start();
    // An unreachable collector must not turn a clean stop into a failed one; its traces are lost either way.
    const patience = () => sleep(1000, undefined, { ref: false });
    return { stop: () => Promise.race([sdk.shutdown(), patience()]).catch(() => {}) };
  } catch (error) {
    complain.error((error as Error).message);
    return { stop: async () => {} };
  }
}

/** Logs OpenTelemetry's own messages, rate-limited by kind. */
function createComplaints(log: Log): DiagLogger {
  const say = rateLimited(log);
  const tell = (level: 'warn' | 'error') => (message: string) => {
    const reason = toReason(message);
    say(level, reason.replace(/\d+/g, ''), { reason }, 'OpenTelemetry complains');
  };
  const ignore = () => {};
  return { error: tell('error'), warn: tell('warn'), info: ignore, debug: ignore, verbose: ignore };
}

/** Extracts the message: a failed export is reported as an error in JSON, with its stack. */
function toReason(message: string): string {
  let said = message;
  try {
    said = String(JSON.parse(message).message);
  } catch {
    // Plain text.
  }
  return said.split('\n', 1).join().slice(0, 300);
}

/** The flags of `traceparent` that are known: sampled and random. */
const KNOWN_FLAGS = 3;

const tracer = trace.getTracer('ask-the-expert');
const traced = wantsTraces();
/** Used when nothing is traced: OpenTelemetry would create a span and a context for each call. */
const noSpan = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

export { type Span, SpanKind };

type Headers = Record<string, string | string[] | undefined>;

/**
 * Runs `work` in a span. A rejection marks the span as failed; a server's span only if the server is at fault. `peer`:
 * the headers with another process's trace; malformed ones are ignored.
 */
export function inSpan<T>(name: string, kind: SpanKind, work: (span: Span) => Promise<T>, peer?: Headers): Promise<T> {
  if (!traced) return work(noSpan);
  const parent = peer ? propagation.extract(context.active(), peer) : context.active();
  return tracer.startActiveSpan(name, { kind }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      // By OpenTelemetry's conventions a server's span has not failed if the caller was at fault.
      if (kind === SpanKind.SERVER && error instanceof AppError && error.status < 500) throw error;
      const { message, cause } = error as Error;
      span.setStatus({ code: SpanStatusCode.ERROR, message: cause instanceof Error ? cause.message : message });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The trace that a caller's request belongs to. */
export interface CallersTrace {
  id: string;
  headers: Record<string, string>;
}

/** Reads `traceparent` and `tracestate`; undefined if missing or malformed. */
export async function readTrace(headers: Headers): Promise<CallersTrace | undefined> {
  if (headers.traceparent === undefined) return undefined;
  // Loaded with the first caller's trace: most processes never need it.
  const { W3CTraceContextPropagator } = await import('@opentelemetry/core');
  const w3c = new W3CTraceContextPropagator();
  const parent = trace.getSpanContext(w3c.extract(ROOT_CONTEXT, headers, defaultTextMapGetter));
  if (parent === undefined) return undefined;
  const carried: Record<string, string> = {};
  // unknown flags would be written with three digits
  const known = { ...parent, traceFlags: parent.traceFlags & KNOWN_FLAGS };
  w3c.inject(trace.setSpanContext(ROOT_CONTEXT, known), carried, defaultTextMapSetter);
  return { id: parent.traceId, headers: carried };
}

/** The trace id of an answer: this process's own, else the caller's, else one made of the request's id, a UUID. */
export function traceIdOf(requestId: string, caller: CallersTrace | undefined): string {
  return activeSpan()?.traceId ?? caller?.id ?? toTraceId(requestId);
}

/** Headers that pass on the trace of `traceIdOf`. */
export function traceHeaders(requestId: string, caller: CallersTrace | undefined): Record<string, string> {
  if (activeSpan()) {
    const headers: Record<string, string> = {};
    propagation.inject(context.active(), headers);
    return headers;
  }
  if (caller) return caller.headers;
  const id = toTraceId(requestId);
  return { traceparent: `00-${id}-${id.slice(16)}-00` }; // flags 00: not sampled
}

/** Undefined if nothing is traced, or OpenTelemetry has no exporter. */
function activeSpan(): SpanContext | undefined {
  const span = traced ? trace.getSpanContext(context.active()) : undefined;
  return span && isSpanContextValid(span) ? span : undefined;
}

function toTraceId(requestId: string): string {
  return requestId.slice(0, 36).replaceAll('-', '');
}
