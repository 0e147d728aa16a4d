import { setTimeout as sleep } from 'node:timers/promises';
import {
  context,
  INVALID_SPAN_CONTEXT,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { wantsTraces } from './config.ts';
import { AppError } from './errors.ts';

/** Starts OpenTelemetry if an `OTEL_*` setting asks for traces; otherwise nothing is loaded and spans cost nothing. */
export async function startTelemetry(serviceName: string): Promise<{ stop(): Promise<void> }> {
  if (!wantsTraces()) return { stop: async () => {} };
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({ serviceName, instrumentations: [], metricReaders: [], logRecordProcessors: [] });
  sdk.start();
  // A collector that is away must not turn a clean stop into a failed one; its traces are lost either way.
  const patience = () => sleep(1000, undefined, { ref: false });
  return { stop: () => Promise.race([sdk.shutdown(), patience()]).catch(() => {}) };
}

const tracer = trace.getTracer('ask-the-expert');
const traced = wantsTraces();
/** Where nothing is traced: OpenTelemetry would make a new one, and a context, for each. */
const noSpan = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

export { type Span, SpanKind };

/** Runs `work` in a span that ends with it; a rejection marks the span as failed, a server's only if it is at fault. */
export function inSpan<T>(
  name: string,
  kind: SpanKind,
  work: (span: Span) => Promise<T>,
  parent = context.active(),
): Promise<T> {
  if (!traced) return work(noSpan);
  return tracer.startActiveSpan(name, { kind }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      // By OpenTelemetry's conventions a server has not failed where its caller was at fault.
      if (kind === SpanKind.SERVER && error instanceof AppError && error.status < 500) throw error;
      const { message, cause } = error as Error;
      span.setStatus({ code: SpanStatusCode.ERROR, message: cause instanceof Error ? cause.message : message });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The context that a peer sent with `traceparent` and `tracestate`; malformed headers are ignored. */
export function extractContext(headers: Record<string, string | string[] | undefined>) {
  return propagation.extract(context.active(), headers, {
    keys: (carrier) => Object.keys(carrier),
    get: (carrier, key) => carrier[key],
  });
}

/** Headers that carry the active trace on; empty when nothing is traced. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  propagation.inject(context.active(), headers);
  return headers;
}
