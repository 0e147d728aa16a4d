/** Names of the attributes of spans, in one place. */
export const ATTRIBUTES = {
  requestId: 'ask.request_id',
  pictureDamaged: 'ask.picture.damaged',
  pictureDamage: 'ask.picture.damage',
  expertId: 'expert.id',
  strategy: 'routing.strategy',
  metric: 'routing.metric',
  value: 'routing.value',
  threshold: 'routing.threshold',
  topK: 'routing.top_k',
  candidates: 'routing.candidates',
  scores: 'routing.scores',
  expert: 'routing.expert',
  reason: 'routing.reason',
  policyVersion: 'routing.policy_version',
  answeredBy: 'routing.answered_by',
  degraded: 'routing.degraded',
} as const;
