import { trace } from '@opentelemetry/api';
import { tracing } from '@opentelemetry/sdk-node';
import { expect, test, vi } from 'vitest';
import { postImage } from '../support/service.ts';
import { startTinySystem } from '../support/system.ts';
import { addThreeVoices, COLOUR, threeVoices } from '../support/three-voices.ts';
import { flatPng } from '../support/tiny-bundle.ts';

// Before the imports: whether spans are made is decided when they are loaded.
vi.hoisted(() => {
  process.env.OTEL_TRACES_EXPORTER = 'console';
});

test('strategy from outside: its decision is in the trace, by the names in its schema', async () => {
  const exporter = new tracing.InMemorySpanExporter();
  const spanProcessors = [new tracing.SimpleSpanProcessor(exporter)];
  trace.setGlobalTracerProvider(new tracing.BasicTracerProvider({ spanProcessors }));
  await using running = await startTinySystem({ extend: addThreeVoices, strategies: [threeVoices] });
  await postImage(running.url, await flatPng(COLOUR), '?strategy=voices&scale=3');
  const span = exporter.getFinishedSpans().find(({ name }) => name === 'route');
  expect(span?.attributes).toMatchObject({
    'routing.strategy': 'voices',
    'routing.reason': 'all-are-asked',
    'routing.answered_by': 'several',
    'voices.scale': 3,
  });
});
