import { readText } from './repository.ts';

export interface Instruction {
  name: string;
  flags: Record<string, string>;
  words: string[];
}

export interface Stage {
  /** What it is called by later stages. */
  name: string | undefined;
  from: Instruction;
  instructions: Instruction[];
}

function parseInstruction(line: string): Instruction {
  const [name = '', ...rest] = line.split(/\s+/);
  const flags = rest.filter((word) => word.startsWith('--')).map((word) => word.slice(2).split('='));
  return { name, flags: Object.fromEntries(flags), words: rest.filter((word) => !word.startsWith('--')) };
}

/** The stages of a Dockerfile that uses neither line continuations nor heredocs. */
export function readStages(path: string): Stage[] {
  const stages: Stage[] = [];
  for (const line of readText(path).split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.endsWith('\\') || line.includes('<<'))
      throw new Error(`${path}: this reader takes one line each: ${line}`);
    const instruction = parseInstruction(line);
    const [, as, name] = instruction.words;
    if (instruction.name === 'FROM')
      stages.push({ name: as === 'AS' ? name : undefined, from: instruction, instructions: [] });
    else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

export const wordsOf = (stage: Stage, name: string) =>
  stage.instructions.filter((instruction) => instruction.name === name).map(({ words }) => words);

/** What a stage copies out of the repository. */
export const sourcesOf = (stage: Stage) =>
  stage.instructions
    .filter(({ name, flags }) => name === 'COPY' && !flags.from)
    .flatMap(({ words }) => words.slice(0, -1).map((source) => source.replace(/^\.\//, '')));
