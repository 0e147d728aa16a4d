import type { z } from 'zod';
import type { PictureRule } from '../../shared/bundle/model.ts';
import { createBacklog } from '../../shared/request/backlog.ts';
import type { Deadline } from '../../shared/request/deadline.ts';
import type { Pixels } from '../../shared/wire/picture.ts';
import { createAnswerSchema } from '../edge/answer.ts';
import type { EdgeService } from '../edge/service.ts';
import { cascadeDecision } from '../edge/strategies/cascade/decision.ts';
import type { PreparedStrategy } from '../edge/strategies/prepare.ts';
import type { Outcome } from '../edge/strategies/strategy.ts';

export { problemSchema } from '../edge/http/schemas.ts';
export type { Outcome } from '../edge/strategies/strategy.ts';
export { startSystem } from './system.ts';

/** Names of the strategies that every bundle with a cascade `ask` has, the default first. */
export const strategyNames = ['ask', 'edge', 'expert'] as const;

/** The answer of a service with these strategies. */
export const answerSchema = createAnswerSchema(cascadeDecision);
export type Answer = z.infer<typeof answerSchema>;

export interface Question {
  pixels: Pixels;
  picture?: Uint8Array;
  requestId: string;
  deadline: Deadline;
  caller: AbortSignal;
}

/** Runs a strategy of the system on a decoded picture, by the services' own code, without cache and HTTP. */
export async function runStrategy({ dependencies }: EdgeService, name: string, question: Question): Promise<Outcome> {
  const { strategies, here, there, decode } = dependencies;
  const strategy = strategies.get(name) as PreparedStrategy;
  using work = createBacklog(1).begin();
  const view = (rule: PictureRule) => decode(question.picture ?? question.pixels, rule, question.deadline);
  return strategy.run(here, there, { ...question, view, query: strategy.settle({}), work });
}
