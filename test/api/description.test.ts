import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorCodes } from '../../shared/request/errors.ts';
import { makeKeyFile } from '../support/key-file.ts';
import { startTinySystem } from '../support/system.ts';

let system: Awaited<ReturnType<typeof startTinySystem>>;
// biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
let description: any;
beforeAll(async () => {
  system = await startTinySystem({ experts: null });
  description = await read(system.url);
});
afterAll(() => system[Symbol.asyncDispose]());

async function read(url: string) {
  return (await fetch(`${url}/openapi.json`)).json();
}

describe('API description', () => {
  test('has no error and no warning by the recommended rules of Redocly', async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const found = await lintFromString({ source: JSON.stringify(description), absoluteRef: '/openapi.json', config });
    expect(found.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
  });

  test('names every door, parameter and kind of answer', () => {
    const { post } = description.paths['/classify'];
    expect(Object.keys(post.requestBody.content)).toEqual([
      ...['application/octet-stream', 'image/jpeg', 'image/png', 'image/webp', 'image/x-rgb8'],
      ...['multipart/form-data', 'application/json'],
    ]);
    const parameters = post.parameters.map(({ name, schema }: { name: string; schema: { type: string } }) => [
      name,
      schema.type,
    ]);
    expect(parameters).toEqual([
      ['topK', 'integer'],
      ['deadlineMs', 'integer'],
      ['threshold', 'number'],
      ['explain', 'boolean'],
      ['strategy', 'string'],
      ['damaged', 'string'],
    ]);
    const form = post.requestBody.content['multipart/form-data'].schema.properties;
    expect(Object.keys(form)).toEqual(['image', ...parameters.map(([name]: [string]) => name)]);
    expect([form.image.format, form.threshold.maximum]).toEqual(['binary', 1]);
    const kinds = Object.entries(post.responses).map(([status, response]) => [
      status,
      ...Object.keys((response as { content: object }).content),
    ]);
    expect(kinds).toEqual([
      ['200', 'application/json'],
      ['401', 'application/problem+json'],
      ['403', 'application/problem+json'],
      ['4XX', 'application/problem+json'],
      ['5XX', 'application/problem+json'],
    ]);
  });

  test('names operations and their answers', () => {
    const operations = Object.entries(description.paths).flatMap(([path, methods]) => {
      return Object.values(methods as Record<string, { operationId: string; responses: object }>).map((operation) => [
        path,
        operation.operationId,
        Object.keys(operation.responses).filter((status) => /^[25]\d\d$/.test(status)),
      ]);
    });
    expect(operations).toEqual([
      ['/classify', 'classify', ['200']],
      ['/healthz', 'getHealth', ['200']],
      ['/readyz', 'getReadiness', ['200', '503']],
      ['/metrics', 'getMetrics', ['200']],
      ['/experts', 'listExperts', ['200']],
    ]);
    expect(Object.keys(description.paths['/metrics'].get.responses[200].content)).toEqual(['text/plain']);
  });

  test('allows null where answers have it, and names every code of an error', () => {
    expect(description.openapi).toMatch(/^3\.1\./);
    expect(JSON.stringify(description)).not.toContain('"nullable"'); // means nothing in 3.1
    const { Answer, Problem } = description.components.schemas;
    const reasons = ['timeout', 'no-expert', 'overloaded', 'expert-error', 'circuit-open'];
    expect(Answer.properties.degraded.anyOf).toEqual([{ type: 'string', enum: reasons }, { type: 'null' }]);
    expect(Answer.properties.expert.type).toEqual(['string', 'null']);
    expect(Problem.properties.code.enum).toEqual(errorCodes);
  });

  test('says so where a key is asked for, by rules of Redocly as well', async () => {
    await using file = await makeKeyFile();
    await using guarded = await startTinySystem({ experts: null, env: { ASK_API_KEYS_FILE: file.path } });
    const source = JSON.stringify(await read(guarded.url));
    const config = await createConfig({ extends: ['recommended'] });
    expect(await lintFromString({ source, absoluteRef: '/openapi.json', config })).toEqual([]);
    expect(JSON.parse(source).security).toEqual([{ bearer: [] }, { header: [] }]);
  });
});
