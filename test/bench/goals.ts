/** A figure of the bench: what it is, what it should reach, and which way is better. */
export interface Goal {
  figure: string;
  meaning: string;
  goal: number;
  better: 'lower' | 'higher';
}

export const goals: Goal[] = [
  {
    figure: 'edgeP50OverRawMs',
    meaning: 'edge answer, one client: p50 beyond raw decoding and raw model, ms',
    goal: 0.5,
    better: 'lower',
  },
  { figure: 'edgeP99OverP50Ms', meaning: 'edge answer, one client: p99 beyond its p50, ms', goal: 3, better: 'lower' },
  {
    figure: 'throughputOverRaw',
    meaning: 'saturated throughput over raw onnxruntime, same threads and decoding',
    goal: 0.92,
    better: 'higher',
  },
  {
    figure: 'escalationOverheadP50Ms',
    meaning: 'escalation over NATS: p50 beyond both models, decoding and encoding, ms',
    goal: 1,
    better: 'lower',
  },
  { figure: 'eventLoopDelayP99Ms', meaning: 'event-loop delay at saturation, p99, ms', goal: 10, better: 'lower' },
  { figure: 'rssMb', meaning: 'resident memory of the edge at saturation, MB', goal: 300, better: 'lower' },
  {
    figure: 'startToFirstAnswerMs',
    meaning: 'start of the process to its first answer, ms',
    goal: 1500,
    better: 'lower',
  },
  { figure: 'memoryGrowth', meaning: 'growth of resident memory over 200,000 requests', goal: 0.02, better: 'lower' },
  {
    figure: 'memoryRssMb',
    meaning: 'largest resident memory over them, with models that cost next to nothing, MB',
    goal: 300,
    better: 'lower',
  },
  {
    figure: 'overloadThroughputRatio',
    meaning: 'throughput at twice saturation over that at saturation, before and after',
    goal: 0.95,
    better: 'higher',
  },
  { figure: 'overloadOther', meaning: 'answers at twice saturation other than 200 and 429', goal: 0, better: 'lower' },
  {
    figure: 'overloadSlowestMs',
    meaning: 'slowest answer at twice saturation, ms (deadline 2000)',
    goal: 2000,
    better: 'lower',
  },
  {
    figure: 'scalingExperts',
    meaning: 'time of an answer with 100 experts over that with 5',
    goal: 1.1,
    better: 'lower',
  },
  {
    figure: 'scalingClasses',
    meaning: 'time of an answer with 1000 classes over that with 10',
    goal: 1.1,
    better: 'lower',
  },
];

/** Figures that have no goal and explain those that have: by name, what they are. */
export const explanations: Record<string, string> = {
  bareP50OverRawMs:
    'what a bare node:http server before the same model process takes beyond the raw model, one client, ms',
  startToWholeAnswerMs: 'start of the process to the first answer of an expert, ms',
  escalationGeneralistMs: 'of an escalation: the generalist, more than in a loop without pauses, ms',
  escalationExpertMs: 'of an escalation: the expert’s service, more than its model in a loop without pauses, ms',
  escalationLinkMs: 'of an escalation: from edge to expert and back, through the broker, ms',
  escalationHttpMs: 'of an escalation: from the caller to the edge and back, ms',
  escalationEncodeMs: 'encoding for an escalation, not in the figure above, ms',
};

export function meets({ goal, better }: Goal, value: number): boolean {
  return better === 'lower' ? value <= goal : value >= goal;
}
