import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { answerSchema, problemSchema } from '../../../services/local/api.ts';
import type { ManifestV1 } from '../../../shared/bundle/manifest-v1.ts';
import { isErrorCode } from '../../../shared/request/errors.ts';
import { startNats } from '../nats-server.ts';
import { postImage, spawnHttp, spawnService, waitForLog } from '../service.ts';
import { flatPng, makeTinyBundle, UNSURE_WARM } from '../tiny-bundle.ts';
import { waitFor } from '../wait.ts';
import { watch } from './watch.ts';

/** What a request may take, in milliseconds: generous, so that only a stuck service exceeds it. */
export const DEADLINE_MS = 10_000;
/** How much later the answer may be there: for sending, and for a machine that does other things. */
export const SLACK_MS = 5000;

/** A real edge and, unless `expert` is false, a real expert on a real nats-server, both watched. */
export async function startFuzzedSystem({
  expert = true,
  env = {},
}: {
  expert?: boolean;
  env?: Record<string, string>;
} = {}) {
  await using started = new AsyncDisposableStack();
  const bundle = started.use(await makeTinyBundle());
  const nats = started.use(await startNats());
  const settings = { ASK_MODELS_DIR: bundle.directory, NATS_URL: nats.url, ASK_WORKERS: '1', ...env };
  const edge = started.use(await spawnHttp('edge', { ...settings, ASK_DEADLINE_MS: String(DEADLINE_MS) }));
  const expertProcess = expert ? started.use(spawnService('expert', settings)) : undefined;
  if (expertProcess) await waitForLog(expertProcess, 'experts are ready');
  await waitForLog(edge, 'connected to NATS');
  const picture = await flatPng(UNSURE_WARM);
  let asked = 0;

  /** An ordinary request is answered as ever: nothing that came before has changed the services. */
  async function requireNormalAnswer(): Promise<void> {
    asked += 1;
    const fresh = `threshold=0.9${asked}`; // not one that is in the cache
    const { body } = await postImage(edge.url, picture, `?strategy=${expert ? 'ask' : 'edge'}&${fresh}`);
    if (body.label !== (expert ? 'grey' : 'red')) throw new Error(`an ordinary picture: ${JSON.stringify(body)}`);
  }

  await waitFor(
    () =>
      requireNormalAnswer().then(
        () => true,
        () => false,
      ),
    'an ordinary answer',
  );
  const watched = watch({ edge, ...(expertProcess ? { expert: expertProcess } : {}) });
  const running = started.move();
  return {
    url: edge.url,
    bundle,
    nats,
    /** Of the expert `warm`. */
    digest: (JSON.parse(await readFile(join(bundle.directory, 'manifest.json'), 'utf8')) as ManifestV1).experts[0]
      ?.sha256 as string,
    requireNormalAnswer,
    watched: {
      get spoilt() {
        return watched.spoilt;
      },
      async inspect() {
        await requireNormalAnswer().catch(async (error) => {
          await watched.inspect(); // says more if a process has ended
          throw error;
        });
        await watched.inspect();
      },
      summary: () => watched.summary(),
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export interface HttpAnswer {
  status: number;
  type: string;
  text: string;
}

/**
 * An answer is the documented one, or the caller is told what is wrong with his request: a problem document with a
 * known code, never a 5xx. Returns the code, or undefined for an answer.
 */
export function requireProper({ status, type, text }: HttpAnswer): string | undefined {
  const wrong = (what: string) => new Error(`${what}: ${status} ${type} ${text.slice(0, 500)}`);
  if (status === 200) {
    const parsed = answerSchema.strict().safeParse(parse(text));
    if (!parsed.success) throw wrong('not an answer');
    return undefined;
  }
  if (status < 400 || status >= 500 || status === 429) throw wrong('not the status of a bad request');
  if (type !== 'application/problem+json; charset=utf-8') throw wrong('not a problem document');
  const problem = problemSchema.strict().safeParse(parse(text));
  if (!problem.success) throw wrong('not a problem document');
  if (!isErrorCode(problem.data.code)) throw wrong('not a known code');
  if (problem.data.status !== status) throw wrong('another status than the problem says');
  return problem.data.code;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
